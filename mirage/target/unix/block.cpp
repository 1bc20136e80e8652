// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/block.hpp>
#include <mirage/target/unix/environment.hpp>

namespace mirage::target::posix {

namespace {

using Kind = BlockOperation::Kind;

constexpr std::size_t largest_call = std::size_t{1} << 30;  // Linux moves somewhat less than 2 GiB at once
constexpr int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

}  // namespace

BlockOperation::~BlockOperation() {
  if (slot_ != no_slot) block_.slots_[slot_].operation = nullptr;
}

Bytes BlockOperation::piece(std::size_t index) const noexcept {
  if (in_ != nullptr) return in_[index];
  return out_ != nullptr ? out_[index] : single_;
}

template <class Visit>
void BlockOperation::walk(std::size_t bytes, Visit visit) const noexcept {
  std::size_t within = within_;
  for (std::size_t i = index_; bytes != 0; ++i, within = 0) {
    const Bytes rest = piece(i).subspan(within);
    const Bytes part = rest.first(std::min(rest.size(), bytes));
    if (!part.empty()) visit(part);
    bytes -= part.size();
  }
}

bool BlockOperation::aligned(std::uint32_t alignment) const noexcept {
  bool all = true;
  walk(size_, [&](Bytes part) { all = all && reinterpret_cast<std::uintptr_t>(part.data()) % alignment == 0; });
  return all;
}

BlockResult BlockOperation::begin() noexcept {
  const BlockGeometry& geometry = block_.geometry_;
  if (kind_ == Kind::flush) return {};
  if (!moves()) {
    MIRAGE_CHECK(check_sectors(geometry, sector_, size_));
  } else if (in_ != nullptr) {
    MIRAGE_CHECK(check_pieces(geometry, sector_, MutableBlockPieces{in_, pieces_}));
  } else {
    MIRAGE_CHECK(
        check_pieces(geometry, sector_, out_ != nullptr ? BlockPieces{out_, pieces_} : BlockPieces{&single_, 1}));
  }
  if (kind_ != Kind::read && geometry.read_only) return Failure{BlockError::read_only};
  if (kind_ == Kind::discard) {
    size_ *= geometry.sector_size;
    return geometry.discard ? BlockResult{} : Failure{BlockError::unsupported};
  }
  for (std::size_t i = 0; i < pieces_; ++i) size_ += piece(i).size();
  bounced_ = block_.file_.direct() && !aligned(geometry.alignment);
  return {};
}

bool BlockOperation::await_ready() noexcept {
  result_ = begin();
  if (!result_ || (kind_ != Kind::flush && size_ == 0)) return true;
  // What the page cache holds, and what goes into it, needs no ring.
  const bool cached = !block_.file_.direct() && (kind_ == Kind::read || kind_ == Kind::write);
  return (cached || !block_.ring_.is_open()) && block_.perform(*this);
}

bool BlockOperation::advance(long result, std::size_t asked) noexcept {
  if (result == -EINTR || result == -EAGAIN) return false;
  if (result < 0 || (moves() && (result == 0 || static_cast<std::size_t>(result) > asked))) {
    const bool lacking = kind_ == Kind::discard && (result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS);
    result_ = Failure{lacking ? BlockError::unsupported : BlockError::io};  // 0: the file became shorter
    return true;
  }
  if (!moves()) return true;
  done_ += static_cast<std::uint64_t>(result);
  within_ += static_cast<std::size_t>(result);
  while (done_ != size_ && within_ >= piece(index_).size()) within_ -= piece(index_++).size();
  return done_ == size_;
}

void BlockOperation::submit() noexcept {
  block_.waiting_.push_back(*this);
  block_.start_waiting();
}

Block::~Block() {
  while (BlockOperation* operation = waiting_.pop_front()) {
    operation->result_ = Failure{BlockError::io};
    operation->finish();
  }
  while (in_flight_ != 0) {
    (void)ring_.submit_and_wait();
    (void)collect();
  }
  if (!ring_.is_open()) return;
  environment_of(shard_).end_sleeper(pump_);
  environment_of(shard_).forget(ring_.descriptor());
}

/// The loop sleeps in the first ring, which watches epoll's set for it; in that set are the rings of other devices. Of
/// completions that it defers the kernel tells epoll nothing.
void Block::open_ring() noexcept {
  Environment& environment = environment_of(shard_);
  slots_.reset(new (std::nothrow) Slot[maximum_requests]);
  const bool sleeper = slots_ && environment.set_sleeper(pump_);
  if (!slots_ || !ring_.open(maximum_requests, sleeper ? at_best_ : std::max(at_best_, Ring::Mode::cooperative))) {
    environment.end_sleeper(pump_);
    return;
  }
  for (std::uint16_t i = 0; i < maximum_requests; ++i) slots_[i].next_free = std::exchange(first_free_, i);
  geometry_.queue_depth = maximum_requests;
  shard_.add_poller(pump_);
  if (sleeper && !ring_.can_sleep()) environment.end_sleeper(pump_);
}

/// False when the kernel refuses.
bool Block::join_loop() noexcept {
  Environment& environment = environment_of(shard_);
  return environment.is_sleeper(pump_) || environment.watch(ring_.descriptor(), EPOLLIN, nullptr);
}

Result<void, StartError> Block::open() noexcept {
  if (find_attachment(Attachment::block, name_) == nullptr) {
    return Failure{StartError{"block device '{}' is not attached: add --block:{}=FILE", name_, name_}};
  }
  if (const auto opened = file_.open(name_, geometry_); !opened) {
    return Failure{StartError{"block device '{}': {}", name_, opened.error().text()}};
  }
  open_ring();
  if (ring_.is_open() && !join_loop()) {
    return Failure{StartError{"block device '{}': cannot wait for its ring", name_}};
  }
  shard_.logger("unix").info("block device '{}': {} sectors of {} bytes{}{}{}", name_, geometry_.sectors,
                             geometry_.sector_size, geometry_.read_only ? ", read-only" : "",
                             file_.direct() ? ", direct" : "", ring_.is_open() ? "" : ", no io_uring");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return open(); }

/// False when there is no memory for a copy.
bool Block::fill(Slot& slot, const BlockOperation& operation) const noexcept {
  slot.count = 0;
  slot.bytes = 0;
  if (!operation.moves()) return true;
  const std::size_t left = std::min<std::uint64_t>(operation.size_ - operation.done_, largest_call);
  if (operation.bounced_) {
    if (!slot.bounce) slot.bounce.reset(static_cast<std::byte*>(std::aligned_alloc(65536, bounce_size)));
    if (!slot.bounce) return false;
    slot.bytes = std::min(left, bounce_size);
    slot.pieces[slot.count++] = {slot.bounce.get(), slot.bytes};
    std::byte* to = slot.bounce.get();
    if (operation.kind_ != Kind::read)
      operation.walk(slot.bytes, [&](Bytes part) { to = std::ranges::copy(part, to).out; });
    return true;
  }
  operation.walk(left, [&](Bytes part) {
    if (slot.count == maximum_pieces) return;
    // The kernel writes to it only for reads, whose memory was given as writable.
    slot.pieces[slot.count++] = {const_cast<std::byte*>(part.data()), part.size()};
    slot.bytes += part.size();
  });
  return true;
}

void Block::copy_back(Slot& slot, BlockOperation& operation, long result) const noexcept {
  if (!operation.bounced_ || operation.kind_ != Kind::read || result <= 0) return;
  const std::byte* from = slot.bounce.get();
  operation.walk(std::min(static_cast<std::size_t>(result), slot.bytes), [&](Bytes part) {
    std::memcpy(const_cast<std::byte*>(part.data()), from, part.size());
    from += part.size();
  });
}

long Block::call(const Slot& slot, const BlockOperation& operation, int flags) const noexcept {
  const int file = file_.descriptor();
  const auto offset = static_cast<off_t>(operation.sector_ * geometry_.sector_size + operation.done_);
  const int count = static_cast<int>(slot.count);
  const iovec& first = slot.pieces[0];
  long result = 0;
  switch (operation.kind_) {
    // The kernel copies and checks a list of pieces: one goes without.
    case Kind::read:
      result = count == 1 && flags == 0 ? ::pread(file, first.iov_base, first.iov_len, offset)
                                        : ::preadv2(file, slot.pieces.data(), count, offset, flags);
      break;
    case Kind::write:
      result = count == 1 ? ::pwrite(file, first.iov_base, first.iov_len, offset)
                          : ::pwritev2(file, slot.pieces.data(), count, offset, 0);
      break;
    case Kind::write_durable:
      result = ::pwritev2(file, slot.pieces.data(), count, offset, RWF_DSYNC);
      break;
    case Kind::flush:
      result = ::fdatasync(file);
      break;
    case Kind::discard:
      result = ::fallocate(file, hole, offset, static_cast<off_t>(operation.size_));
      break;
  }
  return result < 0 ? -errno : result;
}

/// Whether nothing else could go on while a call waits.
bool Block::is_alone() const noexcept {
  return in_flight_ == 0 && shard_.is_idle() && environment_of(shard_).watches_nothing();
}

bool Block::perform(BlockOperation& operation) const noexcept {
  const int flags = ring_.is_open() && operation.kind_ == Kind::read && !is_alone() ? RWF_NOWAIT : 0;
  Slot slot;
  while (true) {
    if (!fill(slot, operation)) {
      operation.result_ = Failure{BlockError::no_memory};
      return true;
    }
    const long result = call(slot, operation, flags);
    if (flags != 0 && (result == -EAGAIN || result == -EOPNOTSUPP)) return false;
    copy_back(slot, operation, result);
    if (operation.advance(result, slot.bytes)) return true;
  }
}

namespace {

/// io_uring_enter(2): the same call as a request.
void describe(io_uring_sqe& request, Kind kind, std::span<const iovec> pieces, std::uint64_t length) noexcept {
  const bool write = kind != Kind::read;
  if (kind == Kind::flush) {
    request.opcode = IORING_OP_FSYNC;
    request.fsync_flags = IORING_FSYNC_DATASYNC;
    request.off = 0;
  } else if (kind == Kind::discard) {
    request.opcode = IORING_OP_FALLOCATE;
    request.len = static_cast<std::uint32_t>(hole);
    request.addr = length;
  } else if (pieces.size() == 1) {
    request.opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
    request.addr = reinterpret_cast<std::uintptr_t>(pieces[0].iov_base);
    request.len = static_cast<std::uint32_t>(pieces[0].iov_len);
  } else {
    request.opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
    request.addr = reinterpret_cast<std::uintptr_t>(pieces.data());
    request.len = static_cast<std::uint32_t>(pieces.size());
  }
  if (kind == Kind::write_durable) request.rw_flags = RWF_DSYNC;
}

}  // namespace

/// False when every slot is in use.
bool Block::enqueue(BlockOperation& operation) noexcept {
  if (first_free_ == BlockOperation::no_slot) return false;
  const std::uint16_t index = first_free_;
  Slot& slot = slots_[index];
  if (!fill(slot, operation)) {
    operation.result_ = Failure{BlockError::no_memory};
    operation.finish();
    return true;
  }
  first_free_ = slot.next_free;
  slot.operation = &operation;
  operation.slot_ = index;
  io_uring_sqe& request = ring_.prepare();
  request.fd = file_.descriptor();
  request.off = operation.sector_ * geometry_.sector_size + operation.done_;
  request.user_data = index;
  describe(request, operation.kind_, std::span{slot.pieces}.first(slot.count), operation.size_);
  ++in_flight_;
  if (ring_.prepared() >= batch) (void)ring_.submit();
  return true;
}

void Block::start_waiting() noexcept {
  while (BlockOperation* operation = waiting_.front()) {
    static_cast<ListNode<>*>(operation)->unlink();
    if (enqueue(*operation)) continue;
    waiting_.push_front(*operation);
    return;
  }
}

void Block::complete(const Ring::Completion& completion) noexcept {
  Slot& slot = slots_[completion.token];
  BlockOperation* operation = std::exchange(slot.operation, nullptr);
  --in_flight_;
  slot.next_free = std::exchange(first_free_, static_cast<std::uint16_t>(completion.token));
  if (operation == nullptr) return;
  operation->slot_ = BlockOperation::no_slot;
  copy_back(slot, *operation, completion.result);
  if (operation->advance(completion.result, slot.bytes)) return operation->finish();
  waiting_.push_front(*operation);  // there is more to move
}

bool Block::perform_alone() noexcept {
  if (in_flight_ != 1 || ring_.prepared() != 1) return false;
  if (!shard_.is_idle() || !environment_of(shard_).watches_nothing()) return false;
  const std::uint64_t token = ring_.last_token();
  if (token >= maximum_requests || slots_[token].operation == nullptr) return false;
  ring_.take_back();
  const long result = call(slots_[token], *slots_[token].operation, 0);
  complete({token, static_cast<std::int32_t>(result)});
  start_waiting();  // there may be more of it
  return true;
}

bool Block::collect() noexcept {
  bool any = ring_.prepared() != 0;  // the kernel was short of memory: no sleep before it has taken them
  while (const auto completion = ring_.take()) {
    complete(*completion);
    any = true;
  }
  if (any) start_waiting();
  return any;
}

static_assert(ScatterBlock<Block> && DiscardBlock<Block> && FuaBlock<Block>);

}  // namespace mirage::target::posix
