// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/target/hvt/queued_block.hpp>

namespace mirage::target::hvt {

BlockOperation::~BlockOperation() {
  if (outstanding_ == 0) return;
  for (QueuedBlock::Slot& slot : block_.queue_->slots) {
    if (slot.operation == this) slot.operation = nullptr;
  }
}

void BlockOperation::submit() noexcept {
  block_.waiting_.push_back(*this);
  block_.start_waiting();
}

Bytes BlockOperation::advance(std::size_t limit) noexcept {
  while (within_ == piece().size()) {
    ++index_;
    within_ = 0;
  }
  const Bytes rest = piece().subspan(within_);
  const Bytes part = rest.first(std::min(rest.size(), limit));
  within_ += part.size();
  offset_ += part.size();
  left_ -= part.size();
  return part;
}

bool QueuedBlock::use_queue(std::uint64_t handle) noexcept {
  handle_ = handle;
  queue_.reset(new (std::nothrow) Queue);
  if (!queue_) return false;
  constexpr std::uint16_t count = block_queue_depth;
  for (std::uint16_t i = 0; i < count; ++i) {
    queue_->slots[i].owner = this;
    queue_->slots[i].next_free = std::exchange(queue_->first_free, i);
  }
  set_queue_depth(block_queue_depth);
  shard().add_poller(pump_);
  return true;
}

template <class Memory>
bool QueuedBlock::can_queue(std::span<const Memory> pieces) const noexcept {
  return queue_ != nullptr && std::ranges::all_of(pieces, [this](const Memory& piece) noexcept {
           return reinterpret_cast<std::uintptr_t>(piece.data()) % geometry().alignment == 0;
         });
}

BlockOperation QueuedBlock::read(std::uint64_t sector, MutableBytes bytes) noexcept {
  if (!can_queue(MutableBlockPieces{&bytes, 1})) return {*this, BlockDevice::read(sector, bytes).await_resume()};
  if (const auto range = check_range(geometry(), sector, bytes.size()); !range) return {*this, range};
  return {*this, sector * geometry().sector_size, bytes};
}

BlockOperation QueuedBlock::write(std::uint64_t sector, Bytes bytes) noexcept {
  if (!can_queue(BlockPieces{&bytes, 1}) || geometry().read_only)
    return {*this, BlockDevice::write(sector, bytes).await_resume()};
  if (const auto range = check_range(geometry(), sector, bytes.size()); !range) return {*this, range};
  return {*this, sector * geometry().sector_size, bytes};
}

BlockOperation QueuedBlock::read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept {
  if (!can_queue(pieces)) return {*this, BlockDevice::read_scatter(sector, pieces).await_resume()};
  if (const auto range = check_pieces(geometry(), sector, pieces); !range) return {*this, range};
  return {*this, sector * geometry().sector_size, pieces};
}

BlockOperation QueuedBlock::write_gather(std::uint64_t sector, BlockPieces pieces) noexcept {
  if (!can_queue(pieces) || geometry().read_only)
    return {*this, BlockDevice::write_gather(sector, pieces).await_resume()};
  if (const auto range = check_pieces(geometry(), sector, pieces); !range) return {*this, range};
  return {*this, sector * geometry().sector_size, pieces};
}

/// False when there is no room now.
bool QueuedBlock::add_request(BlockOperation& operation) noexcept {
  if (queue_->first_free == no_slot) return false;
  Slot& slot = queue_->slots[queue_->first_free];
  queue_->first_free = std::exchange(slot.next_free, no_slot);
  slot.operation = &operation;
  ++operation.outstanding_;
  const std::uint64_t offset = operation.offset_;
  const Bytes part = operation.advance(
      static_cast<std::size_t>(std::min<std::uint64_t>(geometry().maximum_transfer, block_queue_length)));
  queue_->requests[queue_->request_count++] = {.token = reinterpret_cast<std::uintptr_t>(&slot),
                                               .handle = handle_,
                                               .offset = offset,
                                               .data = reinterpret_cast<std::uintptr_t>(part.data()),
                                               .length = part.size(),
                                               .write = operation.write_ ? 1U : 0U,
                                               .padding = 0};
  return true;
}

void QueuedBlock::start_waiting() noexcept {
  while (BlockOperation* operation = waiting_.front()) {
    while (operation->left_ != 0) {
      if (!add_request(*operation)) return;
    }
    static_cast<ListNode<>*>(operation)->unlink();
  }
}

void QueuedBlock::complete(Slot& slot, bool good) noexcept {
  BlockOperation* const operation = std::exchange(slot.operation, nullptr);
  slot.next_free = std::exchange(queue_->first_free, static_cast<std::uint16_t>(&slot - queue_->slots.data()));
  --queue_->in_flight;
  if (operation == nullptr) return;
  --operation->outstanding_;
  if (!good) {
    operation->result_ = Failure{BlockError::io};
    operation->left_ = 0;  // nothing more is started
  }
  if (operation->outstanding_ != 0 || operation->left_ != 0) return;
  static_cast<ListNode<>*>(operation)->unlink();
  operation->complete(WaitStatus::done);
}

/// One call: what is to be started, and what has completed, of whatever device. True when something has.
bool QueuedBlock::exchange_all() noexcept {
  Queue& queue = *queue_;
  BlockQueueCall call{.requests = reinterpret_cast<std::uintptr_t>(queue.requests.data()),
                      .completions = reinterpret_cast<std::uintptr_t>(queue.completions.data()),
                      .request_count = queue.request_count,
                      .completion_count = block_queue_depth,
                      .started = 0,
                      .completed = 0,
                      .result = 0,
                      .padding = 0};
  exchange(call);
  // What the tender has no room for stays for the next call.
  const std::uint32_t started = std::min(call.started, queue.request_count);
  std::ranges::copy(std::span(queue.requests).subspan(started, queue.request_count - started), queue.requests.begin());
  queue.request_count -= started;
  queue.in_flight += started;
  for (const BlockCompletion& done : std::span(queue.completions).first(std::min(call.completed, block_queue_depth))) {
    Slot& slot = *reinterpret_cast<Slot*>(done.token);
    slot.owner->complete(slot, done.result == static_cast<std::int32_t>(CallResult::ok));
  }
  return call.completed != 0;
}

bool QueuedBlock::poll() noexcept {
  bool any = false;
  if (queue_->in_flight != 0 || queue_->request_count != 0) any = exchange_all();
  start_waiting();
  return any;
}

}  // namespace mirage::target::hvt
