// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <new>

#include <mirage/device/virtio/block.hpp>

namespace mirage::virtio {

namespace {

// Feature bits, section 5.2.3.
constexpr std::uint64_t feature_segment_size = bit(1);
constexpr std::uint64_t feature_segment_limit = bit(2);
constexpr std::uint64_t feature_read_only = bit(5);
constexpr std::uint64_t feature_block_size = bit(6);
constexpr std::uint64_t feature_flush = bit(9);
constexpr std::uint64_t feature_queues = bit(12);
constexpr std::uint64_t feature_discard = bit(13);
constexpr std::uint64_t feature_write_zeroes = bit(14);
// Configuration, section 5.2.4.
constexpr std::uint32_t config_capacity = 0;
constexpr std::uint32_t config_segment_size = 8;
constexpr std::uint32_t config_segment_limit = 12;
constexpr std::uint32_t config_block_size = 20;
constexpr std::uint32_t config_queues = 34;
constexpr std::uint32_t config_discard_sectors = 36;
constexpr std::uint32_t config_zeroes_sectors = 48;
// Requests, section 5.2.6. Sectors are always 512 bytes there.
constexpr std::uint64_t unit = 512;
constexpr std::uint32_t request_in = 0;
constexpr std::uint32_t request_out = 1;
constexpr std::uint32_t request_flush = 4;
constexpr std::uint32_t request_identifier = 8;
constexpr std::uint32_t request_discard = 11;
constexpr std::uint32_t request_write_zeroes = 13;
constexpr std::byte status_ok{0};
constexpr std::byte status_unsupported{2};
constexpr std::byte status_unwritten{0xff};

constexpr std::size_t largest_part = std::size_t{1} << 22;
constexpr std::size_t largest_range = std::size_t{1} << 30;  // of one discard

constexpr std::uint32_t type_of(BlockOperation::Kind kind) noexcept {
  switch (kind) {
    case BlockOperation::Kind::read:
      return request_in;
    case BlockOperation::Kind::write:
      return request_out;
    case BlockOperation::Kind::flush:
      return request_flush;
    case BlockOperation::Kind::discard:
      return request_discard;
    case BlockOperation::Kind::write_zeroes:
      break;
  }
  return request_write_zeroes;
}

void write_header(std::span<std::byte, 16> header, std::uint32_t type, std::uint64_t sector) noexcept {
  store_little<std::uint32_t>(header, 0, type);
  store_little<std::uint32_t>(header, 4, 0);
  store_little<std::uint64_t>(header, 8, sector);
}

}  // namespace

BlockOperation::~BlockOperation() {
  if (slot_ != no_slot) device_.slots_[slot_].operation = nullptr;
}

BlockResult BlockOperation::begin() noexcept {
  const BlockGeometry& geometry = device_.geometry_;
  if (device_.transport_ == nullptr || device_.broken()) return Failure{BlockError::io};
  if (kind_ == Kind::flush) {
    return geometry.durability == Durability::flush ? BlockResult{} : Failure{BlockError::unsupported};
  }
  if (kind_ != Kind::read && geometry.read_only) return Failure{BlockError::read_only};
  if (!moves()) {
    MIRAGE_CHECK(check_sectors(geometry, sector_, left_));
    left_ *= geometry.sector_size;
    const bool can = kind_ == Kind::discard ? geometry.discard : geometry.write_zeroes;
    return can ? BlockResult{} : Failure{BlockError::unsupported};
  }
  for (std::size_t i = 0; i < pieces_; ++i) left_ += piece(i).size();
  if (in_ != nullptr) return check_pieces(geometry, sector_, MutableBlockPieces{in_, pieces_});
  if (out_ != nullptr) return check_pieces(geometry, sector_, BlockPieces{out_, pieces_});
  return check_range(geometry, sector_, single_.size());
}

bool BlockOperation::await_ready() noexcept {
  result_ = begin();
  // Nothing to move is done already; a flush moves nothing but asks.
  return !result_ || (kind_ != Kind::flush && left_ == 0);
}

/// The request in flight has been answered.
void BlockOperation::advance() noexcept {
  slot_ = no_slot;
  left_ -= part_;
  sector_ += part_ / unit;
  if (!moves() || left_ == 0) return;
  within_ += part_;
  while (within_ >= piece(index_).size()) within_ -= piece(index_++).size();
}

void BlockOperation::submit() noexcept {
  sector_ *= device_.geometry_.sector_size / unit;
  device_.waiting_.push_back(*this);
  device_.start_waiting();
}

void BlockOperation::finish(Result<void, BlockError> result) noexcept {
  slot_ = no_slot;
  result_ = result;
  Waiter::complete(WaitStatus::done);
}

BlockDevice::~BlockDevice() { stop(); }

void BlockDevice::stop() noexcept {
  if (transport_ != nullptr) transport_->set_status(Status::reset);
  transport_ = nullptr;
  fail_all();
}

bool BlockDevice::needs_reset() noexcept {
  if (transport_ == nullptr || (transport_->status() & Status::needs_reset) == 0) return false;
  ++statistics_.needs_reset;
  stop();
  return true;
}

bool BlockDevice::read_geometry(const Negotiated& negotiated) noexcept {
  constexpr std::uint64_t largest_capacity = std::uint64_t{1} << 50;  // units: more than 2^59 bytes is nonsense
  const auto capacity = read_field<std::uint64_t>(*transport_, config_capacity);
  std::uint32_t size = unit;
  if (negotiated.has(feature_block_size)) size = read_field<std::uint32_t>(*transport_, config_block_size);
  if (size < unit || size > 65536 || !std::has_single_bit(size) || capacity > largest_capacity) return false;
  geometry_.sector_size = size;
  geometry_.sectors = capacity / (size / unit);
  geometry_.read_only = negotiated.has(feature_read_only);
  geometry_.durability = negotiated.has(feature_flush) ? Durability::flush : Durability::none;
  part_limit_ = largest_part;
  if (negotiated.has(feature_segment_size)) {
    const std::size_t segment = read_field<std::uint32_t>(*transport_, config_segment_size);
    part_limit_ = std::min(part_limit_, segment - segment % size);
  }
  piece_limit_ = Queue::maximum_segments - 2;
  if (negotiated.has(feature_segment_limit)) {
    const std::size_t limit = read_field<std::uint32_t>(*transport_, config_segment_limit);
    piece_limit_ = std::clamp<std::size_t>(limit, 1, piece_limit_);
  }
  read_ranges(negotiated);
  geometry_.maximum_transfer = part_limit_;
  return part_limit_ != 0;
}

/// Discard and zeroes, section 5.2.4: how much at once. A device that says 0 has neither.
void BlockDevice::read_ranges(const Negotiated& negotiated) noexcept {
  const auto bytes_at = [&](std::uint64_t feature, std::uint32_t field) -> std::size_t {
    if (!negotiated.has(feature) || geometry_.read_only) return 0;
    const std::uint64_t bytes =
        std::min(read_field<std::uint32_t>(*transport_, field) * unit, std::uint64_t{largest_range});
    return bytes - bytes % geometry_.sector_size;
  };
  discard_limit_ = bytes_at(feature_discard, config_discard_sectors);
  zeroes_limit_ = bytes_at(feature_write_zeroes, config_zeroes_sectors);
  geometry_.discard = discard_limit_ != 0;
  geometry_.write_zeroes = zeroes_limit_ != 0;
}

bool BlockDevice::allocate_slots() noexcept {
  slots_.reset(new (std::nothrow) Slot[maximum_requests]);
  if (!slots_) return false;
  first_free_ = no_slot;
  for (std::uint16_t i = 0; i < maximum_requests; ++i) slots_[i].next_free = std::exchange(first_free_, i);
  return true;
}

/// Section 5.2.5: a device without the feature has one queue. One that says more than it has is used with what is
/// there.
bool BlockDevice::start_queues(Transport& transport, const Negotiated& negotiated) noexcept {
  const std::uint16_t offered =
      negotiated.has(feature_queues) ? read_field<std::uint16_t>(transport, config_queues) : std::uint16_t{1};
  const std::uint16_t wanted = std::clamp<std::uint16_t>(offered, 1, maximum_queues);
  share_ = static_cast<std::uint16_t>(maximum_requests / wanted);
  geometry_.queue_depth = 0;
  for (queue_count_ = 0; queue_count_ < wanted; ++queue_count_) {
    Queue& queue = queues_[queue_count_];
    const auto size = static_cast<std::uint16_t>(queue_size / wanted);
    if (!queue.start(transport, queue_count_, negotiated, size, share_)) break;
    if (queue.size() < 3) break;  // no room for header, data and status
    piece_limit_ = std::min<std::size_t>(piece_limit_, queue.size() - 2U);
    const std::uint32_t requests = negotiated.has(Feature::indirect) ? queue.size() : queue.size() / 3U;
    geometry_.queue_depth += std::min<std::uint32_t>(share_, requests);
  }
  return queue_count_ != 0;
}

bool BlockDevice::broken() const noexcept {
  return std::ranges::any_of(queues(), [](const Queue& queue) noexcept { return queue.broken(); });
}

BlockDevice::Error BlockDevice::start(Transport& transport) noexcept {
  transport_ = &transport;
  const Negotiated negotiated =
      negotiate(transport, feature_segment_size | feature_segment_limit | feature_read_only | feature_block_size |
                               feature_flush | feature_queues | feature_discard | feature_write_zeroes |
                               Feature::any_layout | Feature::indirect | Feature::event_index);
  if (!negotiated.good) return Error::refused;
  if (!read_geometry(negotiated)) return Error::bad_geometry;
  if (!allocate_slots()) return Error::no_memory;
  if (!start_queues(transport, negotiated)) return Error::no_queue;
  finish_start(transport);
  return Error::none;
}

BlockDevice::Answer BlockDevice::read_identifier(Environment& environment, Identifier& identifier) noexcept {
  identifier = identifier_ = {};
  Queue& queue = queues_[0];
  if (first_free_ == no_slot || queue.in_flight() != 0) return Answer::none;
  const std::uint16_t index = first_free_;
  Slot& slot = slots_[index];
  write_header(slot.header, request_identifier, 0);
  slot.status = status_unwritten;
  const std::array segments{readable(slot.header), writable(std::as_writable_bytes(std::span(identifier_))),
                            writable({&slot.status, 1})};
  if (!queue.add(segments, index)) return Answer::none;
  first_free_ = std::exchange(slot.next_free, no_slot);
  queue.publish();
  const Time deadline = environment.monotonic() + patience;
  do {
    if (!queue.take()) continue;
    slot.next_free = std::exchange(first_free_, index);
    if (slot.status != status_ok) return Answer::none;
    identifier = identifier_;
    return Answer::given;
  } while (!queue.broken() && environment.monotonic() < deadline);
  stop();
  return Answer::silent;
}

std::size_t BlockDevice::limit_of(const BlockOperation& operation) const noexcept {
  if (operation.kind_ == BlockOperation::Kind::discard) return discard_limit_;
  return operation.kind_ == BlockOperation::Kind::write_zeroes ? zeroes_limit_ : part_limit_;
}

std::size_t BlockDevice::add_data(BlockOperation& operation, Slot& slot, std::span<Segment> segments) const noexcept {
  operation.part_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(operation.left_, limit_of(operation)));
  if (operation.kind_ == BlockOperation::Kind::flush) return 0;
  if (!operation.moves()) {
    store_little<std::uint64_t>(slot.range, 0, operation.sector_);
    store_little<std::uint32_t>(slot.range, 8, static_cast<std::uint32_t>(operation.part_ / unit));
    store_little<std::uint32_t>(slot.range, 12, 0);
    segments[0] = readable(slot.range);
    return 1;
  }
  std::size_t count = 0;
  std::size_t size = 0;
  for (std::size_t i = operation.index_, within = operation.within_; size < operation.part_ && count < segments.size();
       ++i, within = 0) {
    Bytes rest = operation.piece(i).subspan(within);
    rest = rest.first(std::min(rest.size(), operation.part_ - size));
    if (rest.empty()) continue;
    segments[count++] = {rest.data(), static_cast<std::uint32_t>(rest.size()),
                         operation.kind_ == BlockOperation::Kind::read};
    size += rest.size();
  }
  operation.part_ = static_cast<std::uint32_t>(size);  // the pieces may have been too many
  return count;
}

/// Into the first queue that has its share not yet. So few in flight ring one bell, and only many reach the queues that
/// a host may serve in threads of their own.
bool BlockDevice::enqueue(std::span<const Segment> segments, std::uint16_t slot) noexcept {
  return std::ranges::any_of(
      queues(), [&](Queue& queue) noexcept { return queue.in_flight() < share_ && queue.add(segments, slot); });
}

/// Queues as much of the operation as one device request carries; false when there is no room now.
bool BlockDevice::start_part(BlockOperation& operation) noexcept {
  if (first_free_ == no_slot) return false;
  const std::uint16_t index = first_free_;
  Slot& slot = slots_[index];
  const bool addressed = operation.moves();  // others name their sectors in the data, or none
  write_header(slot.header, type_of(operation.kind_), addressed ? operation.sector_ : 0);
  slot.status = status_unwritten;
  std::array<Segment, Queue::maximum_segments> segments{readable(slot.header)};
  const std::size_t data = add_data(operation, slot, std::span(segments).subspan(1, piece_limit_));
  segments[data + 1] = writable({&slot.status, 1});
  if (!enqueue(std::span(segments).first(data + 2), index)) return false;
  first_free_ = std::exchange(slot.next_free, no_slot);
  slot.operation = &operation;
  operation.slot_ = index;
  ++statistics_.requests;
  return true;
}

void BlockDevice::start_waiting() noexcept {
  while (BlockOperation* operation = waiting_.front()) {
    if (!start_part(*operation)) return;
    static_cast<ListNode<>*>(operation)->unlink();
  }
}

void BlockDevice::complete(const Completion& completion) noexcept {
  Slot& slot = slots_[completion.token];
  const std::byte status = slot.status;
  BlockOperation* operation = std::exchange(slot.operation, nullptr);
  slot.next_free = std::exchange(first_free_, completion.token);
  if (status != status_ok) ++statistics_.failures;
  if (operation == nullptr) return;
  // A read whose device wrote less than it was asked for is no success, whatever the status says.
  const bool whole = operation->kind_ != BlockOperation::Kind::read || completion.written >= operation->part_;
  if (status != status_ok || !whole) {
    return operation->finish(Failure{status == status_unsupported ? BlockError::unsupported : BlockError::io});
  }
  operation->advance();
  if (operation->left_ == 0) return operation->finish({});
  waiting_.push_front(*operation);
}

/// The device has stopped, or stopped making sense.
void BlockDevice::fail_all() noexcept {
  for (std::uint16_t i = 0; slots_ && i < maximum_requests; ++i) {
    if (BlockOperation* operation = std::exchange(slots_[i].operation, nullptr))
      operation->finish(Failure{BlockError::io});
  }
  while (BlockOperation* operation = waiting_.pop_front()) operation->finish(Failure{BlockError::io});
}

bool BlockDevice::poll() noexcept {
  bool any = false;
  for (Queue& queue : queues()) {
    while (const auto completion = queue.take()) {
      complete(*completion);
      any = true;
    }
  }
  if (transport_ != nullptr && broken()) {
    stop();  // reset, so that the device really lets go of the memory
    return true;
  }
  if (any) start_waiting();
  return any;
}

void BlockDevice::flush() noexcept {
  for (Queue& queue : queues()) queue.publish();
}

bool BlockDevice::arm() noexcept {
  bool ready = false;
  for (Queue& queue : queues()) ready |= queue.enable_interrupts();
  return ready;
}

void BlockDevice::disarm() noexcept {
  for (Queue& queue : queues()) queue.disable_interrupts();
}

}  // namespace mirage::virtio
