// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <new>

#include <mirage/device/virtio/net.hpp>

namespace mirage::virtio {

namespace {

// Feature bits, section 5.1.3.
constexpr std::uint64_t feature_checksum = bit(0);
constexpr std::uint64_t feature_guest_checksum = bit(1);
constexpr std::uint64_t feature_mtu = bit(3);
constexpr std::uint64_t feature_mac = bit(5);
constexpr std::uint64_t feature_guest_tso4 = bit(7);
constexpr std::uint64_t feature_guest_tso6 = bit(8);
constexpr std::uint64_t feature_host_tso4 = bit(11);
constexpr std::uint64_t feature_host_tso6 = bit(12);
constexpr std::uint64_t feature_merge = bit(15);
constexpr std::uint64_t feature_host_uso = bit(56);  // VIRTIO 1.3
// Configuration, section 5.1.4.
constexpr std::uint32_t config_mac = 0;
constexpr std::uint32_t config_mtu = 10;

constexpr std::uint16_t default_mtu = 1500;
constexpr std::uint16_t least_mtu = 68;  // RFC 791
constexpr std::uint32_t largest_segment = 65535 + ethernet_header_size;
/// A received frame's buffers: all but the last place of its list refer to them, the rest is copied into a large block.
constexpr std::size_t referenced_buffers = SliceList::capacity - 1;
constexpr std::size_t maximum_buffers = referenced_buffers + large_capacity / frame_capacity;

}  // namespace

NetDevice::~NetDevice() {
  if (transport_ != nullptr) transport_->set_status(Status::reset);
}

Negotiated NetDevice::negotiate_features() noexcept {
  constexpr std::uint64_t base = feature_mtu | feature_mac | feature_merge | feature_checksum | feature_guest_checksum |
                                 Feature::any_layout | Feature::indirect | Feature::event_index;
  std::uint64_t wanted = base;
  // Large frames are received only into several buffers; and segmentation depends on the checksum (section 5.1.3.1).
  const std::uint64_t offered = transport_->device_features();
  if ((offered & feature_merge) != 0 && (offered & feature_guest_checksum) != 0) {
    wanted |= feature_guest_tso4 | feature_guest_tso6;
  }
  if ((offered & feature_checksum) != 0) wanted |= feature_host_tso4 | feature_host_tso6 | feature_host_uso;
  return negotiate(*transport_, wanted);
}

void NetDevice::describe(const Negotiated& negotiated) noexcept {
  if (negotiated.has(feature_mac)) {
    std::array<std::byte, 6> mac{};
    transport_->read_configuration(config_mac, mac);
    std::ranges::transform(mac, capabilities_.mac.octets.begin(), std::to_integer<std::uint8_t>);
  }
  const std::uint16_t mtu =
      negotiated.has(feature_mtu) ? read_field<std::uint16_t>(*transport_, config_mtu) : default_mtu;
  capabilities_.mtu = mtu < least_mtu ? default_mtu : mtu;
  merge_ = negotiated.has(feature_merge);
  header_size_ = transport_->modern() || merge_ ? VnetHeader::size : VnetHeader::legacy_size;
  split_header_ = !transport_->modern() && !negotiated.has(Feature::any_layout);
  capabilities_.gather = true;
  capabilities_.transmit_checksum = negotiated.has(feature_checksum);
  capabilities_.receive_checksum = negotiated.has(feature_guest_checksum);
  capabilities_.segment_tcp4 = negotiated.has(feature_host_tso4);
  capabilities_.segment_tcp6 = negotiated.has(feature_host_tso6);
  capabilities_.segment_udp = negotiated.has(feature_host_uso);
  coalesce_tcp4_ = negotiated.has(feature_guest_tso4);
  coalesce_tcp6_ = negotiated.has(feature_guest_tso6);
  capabilities_.coalesce = coalesce_tcp4_ || coalesce_tcp6_;
  const bool segments = capabilities_.segment_tcp4 || capabilities_.segment_tcp6 || capabilities_.segment_udp;
  capabilities_.maximum_frame = segments ? largest_segment : capabilities_.mtu + std::uint32_t{ethernet_header_size};
}

bool NetDevice::allocate_slots() noexcept {
  // Never more than a quarter of the pool waits in the ring.
  const std::size_t affordable = std::max<std::size_t>(buffers_.bound() / (4 * 2048), 8);
  receive_limit_ =
      static_cast<std::uint16_t>(std::min<std::size_t>(receive_.size() / (split_header_ ? 2 : 1), affordable));
  receive_slots_.reset(new (std::nothrow) MutableSlice[receive_limit_]);
  empty_slots_.reset(new (std::nothrow) std::uint16_t[receive_limit_]);
  transmit_slots_.reset(new (std::nothrow) TransmitSlot[maximum_transmit]);
  if (!receive_slots_ || !empty_slots_ || !transmit_slots_) return false;
  for (std::uint16_t i = 0; i < receive_limit_; ++i) empty_slots_[empty_count_++] = i;
  for (std::uint16_t i = 0; i < maximum_transmit; ++i) {
    transmit_slots_[i].next_free = first_transmit_;
    first_transmit_ = i;
  }
  return true;
}

NetDevice::Error NetDevice::start(Transport& transport) noexcept {
  transport_ = &transport;
  const Negotiated negotiated = negotiate_features();
  if (!negotiated.good) return Error::refused;
  describe(negotiated);
  // Without merging a frame must fit into one buffer.
  if (!merge_ && capabilities_.mtu + ethernet_header_size + header_size_ > frame_capacity) {
    capabilities_.mtu = default_mtu;
  }
  if (!receive_.start(transport, receive_queue, negotiated, maximum_receive) ||
      !transmit_.start(transport, transmit_queue, negotiated, maximum_receive, maximum_transmit)) {
    return Error::no_queue;
  }
  if (!allocate_slots()) return Error::no_memory;
  finish_start(transport);
  refill();
  return empty_count_ < receive_limit_ ? Error::none : Error::no_memory;
}

bool NetDevice::give_buffer(std::uint16_t slot) noexcept {
  MutableSlice& buffer = receive_slots_[slot];
  buffer = buffers_.allocate(frame_capacity, 0);
  if (!buffer) {
    ++statistics_.no_buffer;
    return false;
  }
  const MutableBytes room = buffer.tail();
  // A legacy device without ANY_LAYOUT wants the header apart, on receive too unless buffers are merged.
  const bool apart = split_header_ && !merge_;
  const std::array segments{writable(room.first(apart ? header_size_ : room.size())),
                            writable(room.subspan(apart ? header_size_ : 0))};
  if (receive_.add(std::span(segments).first(apart ? 2 : 1), slot)) return true;
  buffer = {};
  return false;
}

void NetDevice::refill() noexcept {
  while (empty_count_ > 0 && give_buffer(empty_slots_[empty_count_ - 1])) --empty_count_;
  receive_.publish();
}

/// Looks at the header in front of a frame's first buffer.
bool NetDevice::begin_frame(Slice first) noexcept {
  partial_.data.clear();
  partial_tail_ = {};
  partial_left_ = 0;
  partial_dropped_ = false;
  if (first.size() < header_size_) {
    ++statistics_.short_frame;
    return false;
  }
  std::memcpy(partial_header_.data(), first.data(), header_size_);
  const auto buffers = merge_ ? load_little<std::uint16_t>(partial_header_, VnetHeader::buffers_at) : std::uint16_t{1};
  if (buffers == 0 || buffers > maximum_buffers) {
    // The rest of such a frame cannot be told from the next one's: its buffers are skipped, as many as it claims.
    ++statistics_.bad_merge;
    partial_left_ = buffers == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(buffers - 1);
    partial_dropped_ = true;
    return false;
  }
  partial_left_ = static_cast<std::uint16_t>(buffers - 1);
  first.remove_prefix(header_size_);
  return partial_.data.push_back(std::move(first));
}

void NetDevice::continue_frame(Slice data) noexcept {
  if (partial_.data.size() < referenced_buffers) {
    (void)partial_.data.push_back(std::move(data));
    return;
  }
  if (!partial_tail_) partial_tail_ = buffers_.allocate(large_capacity, 0);
  // The number of buffers was checked, so only an exhausted pool leaves too little room.
  if (partial_tail_.tailroom() < data.size()) {
    ++statistics_.no_buffer;
    partial_dropped_ = true;
    return;
  }
  std::ranges::copy(data.bytes(), partial_tail_.grow_back(data.size()).begin());
}

/// Section 5.1.6.4: a device sends no kind of frame whose feature was not negotiated. One that does all the same would
/// have the stack trust metadata that it is not prepared for.
bool NetDevice::negotiated(const Offload& offload) const noexcept {
  if (offload.needs_checksum && !capabilities_.receive_checksum) return false;
  switch (offload.segmentation) {
    case Offload::Segmentation::none:
      return true;
    case Offload::Segmentation::tcp4:
      return coalesce_tcp4_;
    case Offload::Segmentation::tcp6:
      return coalesce_tcp6_;
    case Offload::Segmentation::udp:
      return false;
  }
  return false;
}

bool NetDevice::finish_frame(ReceivedFrame& frame) noexcept {
  (void)partial_.data.push_back(std::exchange(partial_tail_, {}).freeze());
  if (partial_.data.byte_count() < ethernet_header_size || partial_.data.begin()->size() < ethernet_header_size) {
    ++statistics_.short_frame;
    return false;
  }
  const auto offload = VnetHeader::read(partial_header_, partial_.data.byte_count());
  if (!offload) {
    ++statistics_.bad_offload;
    return false;
  }
  partial_.offload = *offload;
  if (!negotiated(partial_.offload)) {
    ++statistics_.not_negotiated;
    return false;
  }
  frame = std::move(partial_);
  ++statistics_.received;
  return true;
}

/// True when `frame` is complete.
bool NetDevice::receive(const Completion& completion, ReceivedFrame& frame) noexcept {
  MutableSlice buffer = std::move(receive_slots_[completion.token]);
  empty_slots_[empty_count_++] = completion.token;
  buffer.grow_back(completion.written);
  Slice data = std::move(buffer).freeze();
  if (partial_left_ == 0) {
    return begin_frame(std::move(data)) && partial_left_ == 0 && finish_frame(frame);
  }
  --partial_left_;
  if (partial_dropped_) return false;
  continue_frame(std::move(data));
  return partial_left_ == 0 && !partial_dropped_ && finish_frame(frame);
}

std::size_t NetDevice::poll(std::span<ReceivedFrame> frames) noexcept {
  reclaim();
  std::size_t count = 0;
  while (count < frames.size()) {
    const auto completion = receive_.take();
    if (!completion) break;
    if (receive(*completion, frames[count])) ++count;
  }
  if (empty_count_ > 0) refill();
  return count;
}

void NetDevice::reclaim() noexcept {
  while (const auto completion = transmit_.take()) {
    TransmitSlot& slot = transmit_slots_[completion->token];
    slot.frame.header = {};
    slot.frame.payload.clear();
    slot.next_free = std::exchange(first_transmit_, completion->token);
    transmit_blocked_ = false;
  }
}

/// Writes the device's header into the frame's headroom, or beside it, and lists the pieces.
std::size_t NetDevice::gather(TransmitSlot& slot, std::span<Segment> segments) noexcept {
  TransmitFrame& frame = slot.frame;
  std::size_t count = 0;
  if (!split_header_ && frame.header && frame.header.headroom() >= header_size_) {
    VnetHeader::write(frame.header.grow_front(static_cast<std::uint32_t>(header_size_)), frame.offload);
  } else {
    const MutableBytes header = std::span(slot.header).first(header_size_);
    VnetHeader::write(header, frame.offload);
    segments[count++] = readable(header);
  }
  if (!frame.header.empty()) segments[count++] = readable(std::as_const(frame.header).bytes());
  for (const Slice& slice : frame.payload) segments[count++] = readable(slice.bytes());
  return count;
}

NetDevice::Outcome NetDevice::transmit(TransmitFrame& frame) noexcept {
  const std::size_t size = frame.byte_count();
  if (size < ethernet_header_size || size > capabilities_.maximum_frame) {
    ++statistics_.bad_frame;
    return Outcome::dropped;
  }
  // Room for the longest chain, so that add() cannot fail (with indirect descriptors one would do).
  if (first_transmit_ == no_slot || transmit_.free_descriptors() < Queue::maximum_segments) return Outcome::full;
  const std::uint16_t index = first_transmit_;
  TransmitSlot& slot = transmit_slots_[index];
  slot.frame = std::move(frame);
  std::array<Segment, Queue::maximum_segments> segments;
  const std::size_t count = gather(slot, segments);
  if (!transmit_.add(std::span(segments).first(count), index)) {
    // Only when the queue is broken: nothing will ever be sent.
    slot.frame.header = {};
    slot.frame.payload.clear();
    ++statistics_.bad_frame;
    return Outcome::dropped;
  }
  first_transmit_ = std::exchange(slot.next_free, no_slot);
  ++statistics_.sent;
  return Outcome::sent;
}

std::size_t NetDevice::send(std::span<TransmitFrame> frames) noexcept {
  reclaim();
  std::size_t count = 0;
  for (; count < frames.size(); ++count) {
    const Outcome outcome = transmit(frames[count]);
    if (outcome == Outcome::full) {
      transmit_blocked_ = true;
      break;
    }
    if (outcome == Outcome::dropped) frames[count] = {};
  }
  transmit_.publish();
  return count;
}

bool NetDevice::arm() noexcept {
  if (empty_count_ > 0) refill();
  const bool received = receive_.enable_interrupts();
  // Finished transmissions only matter to somebody who waits for room, or for the memory that they hold: without a
  // receive buffer nothing else might ever wake us.
  const bool waits = transmit_blocked_ || empty_count_ > 0;
  return (waits && transmit_.enable_interrupts()) || received;
}

void NetDevice::disarm() noexcept {
  receive_.disable_interrupts();
  transmit_.disable_interrupts();
}

}  // namespace mirage::virtio
