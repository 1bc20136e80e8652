// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <new>

#include <mirage/device/virtio/block.hpp>

namespace mirage::virtio {

namespace {

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }
// Feature bits, section 5.2.3.
constexpr std::uint64_t feature_segment_size = bit(1);
constexpr std::uint64_t feature_read_only = bit(5);
constexpr std::uint64_t feature_block_size = bit(6);
constexpr std::uint64_t feature_flush = bit(9);
// Configuration, section 5.2.4.
constexpr std::uint32_t config_capacity = 0;
constexpr std::uint32_t config_segment_size = 8;
constexpr std::uint32_t config_block_size = 20;
// Requests, section 5.2.6. Sectors are always 512 bytes there.
constexpr std::uint64_t unit = 512;
constexpr std::uint32_t request_in = 0;
constexpr std::uint32_t request_out = 1;
constexpr std::uint32_t request_flush = 4;
constexpr std::uint32_t request_identifier = 8;
constexpr std::byte status_ok{0};
constexpr std::byte status_unsupported{2};
constexpr std::byte status_unwritten{0xff};

constexpr std::size_t largest_part = std::size_t{1} << 22;

void write_header(std::span<std::byte, 16> header, std::uint32_t type, std::uint64_t sector) noexcept {
  store_little<std::uint32_t>(header, 0, type);
  store_little<std::uint32_t>(header, 4, 0);
  store_little<std::uint64_t>(header, 8, sector);
}

}  // namespace

BlockOperation::~BlockOperation() {
  if (slot_ != no_slot) device_.slots_[slot_].operation = nullptr;
}

bool BlockOperation::await_ready() noexcept {
  result_ = device_.check(*this);
  // Nothing to move is done already; a flush moves nothing but asks.
  return !result_ || (kind_ != Kind::flush && left_ == 0);
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
  return part_limit_ != 0;
}

bool BlockDevice::allocate_slots() noexcept {
  slots_.reset(new (std::nothrow) Slot[maximum_requests]);
  if (!slots_) return false;
  first_free_ = no_slot;
  for (std::uint16_t i = 0; i < maximum_requests; ++i) slots_[i].next_free = std::exchange(first_free_, i);
  return true;
}

BlockDevice::Error BlockDevice::start(Transport& transport) noexcept {
  transport_ = &transport;
  const Negotiated negotiated =
      negotiate(transport, feature_segment_size | feature_read_only | feature_block_size | feature_flush |
                               Feature::any_layout | Feature::indirect | Feature::event_index);
  if (!negotiated.good) return Error::refused;
  if (!read_geometry(negotiated)) return Error::bad_geometry;
  if (!allocate_slots()) return Error::no_memory;
  if (!queue_.start(transport, 0, negotiated, queue_size, maximum_requests)) return Error::no_queue;
  finish_start(transport);
  return Error::none;
}

bool BlockDevice::read_identifier(Identifier& identifier) noexcept {
  constexpr unsigned polls = 20'000'000;  // some seconds at most
  if (first_free_ == no_slot || queue_.in_flight() != 0) return false;
  Slot& slot = slots_[first_free_];
  write_header(slot.header, request_identifier, 0);
  slot.status = status_unwritten;
  identifier = {};
  const std::array segments{readable(slot.header), writable(std::as_writable_bytes(std::span(identifier))),
                            writable({&slot.status, 1})};
  if (!queue_.add(segments, first_free_)) return false;
  queue_.publish();
  for (unsigned i = 0; i < polls; ++i) {
    if (queue_.take()) return slot.status == status_ok;
  }
  return false;
}

Result<void, BlockError> BlockDevice::check(const BlockOperation& operation) const noexcept {
  if (transport_ == nullptr || queue_.broken()) return Failure{BlockError::io};
  if (operation.kind_ == BlockOperation::Kind::flush) {
    if (geometry_.durability != Durability::flush) return Failure{BlockError::unsupported};
    return {};
  }
  if (operation.kind_ == BlockOperation::Kind::write && geometry_.read_only) return Failure{BlockError::read_only};
  return check_range(geometry_, operation.sector_, operation.left_);
}

/// Queues as much of the operation as one device request carries; false when there is no room now.
bool BlockDevice::start_part(BlockOperation& operation) noexcept {
  using Kind = BlockOperation::Kind;
  if (first_free_ == no_slot || queue_.free_descriptors() < 3) return false;
  const std::uint16_t index = first_free_;
  Slot& slot = slots_[index];
  const std::size_t part = std::min(operation.left_, part_limit_);
  const std::uint32_t type = operation.kind_ == Kind::read    ? request_in
                             : operation.kind_ == Kind::write ? request_out
                                                              : request_flush;
  write_header(slot.header, type, operation.kind_ == Kind::flush ? 0 : operation.sector_);
  slot.status = status_unwritten;
  std::array<Segment, 3> segments{readable(slot.header)};
  std::size_t count = 1;
  if (part != 0) {
    segments[count++] = {operation.data_, static_cast<std::uint32_t>(part), operation.kind_ == Kind::read};
  }
  segments[count++] = writable({&slot.status, 1});
  if (!queue_.add(std::span(segments).first(count), index)) return false;
  first_free_ = std::exchange(slot.next_free, no_slot);
  slot.operation = &operation;
  operation.slot_ = index;
  operation.part_ = static_cast<std::uint32_t>(part);
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
  operation->left_ -= operation->part_;
  operation->data_ += operation->part_;
  operation->sector_ += operation->part_ / unit;
  operation->slot_ = BlockOperation::no_slot;
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
  while (const auto completion = queue_.take()) {
    complete(*completion);
    any = true;
  }
  if (queue_.broken() && transport_ != nullptr) {
    stop();  // reset, so that the device really lets go of the memory
    return true;
  }
  if (any) start_waiting();
  return any;
}

void BlockDevice::flush() noexcept { queue_.publish(); }

}  // namespace mirage::virtio
