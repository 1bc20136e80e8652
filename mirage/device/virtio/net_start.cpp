// SPDX-License-Identifier: ISC
// How the device is started, VIRTIO 1.2 section 5.1.5.
#include <algorithm>
#include <cstring>
#include <new>

#include <mirage/device/virtio/net.hpp>
#include <mirage/module/random_mac.hpp>

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
constexpr std::uint64_t feature_control = bit(17);
constexpr std::uint64_t feature_pairs = bit(22);
constexpr std::uint64_t feature_host_uso = bit(56);  // VIRTIO 1.3
// Configuration, section 5.1.4.
constexpr std::uint32_t config_mac = 0;
constexpr std::uint32_t config_pairs = 8;
constexpr std::uint32_t config_mtu = 10;

constexpr std::uint16_t default_mtu = 1500;
constexpr std::uint16_t least_mtu = 68;  // RFC 791
constexpr std::uint32_t largest_segment = 65535 + ethernet_header_size;
/// Receive buffers of a pair at least, when there are several: a frame of 64 KiB that finds 33 of them in use must
/// still fit, for a device cannot deliver it in parts.
constexpr std::size_t least_share = 64;

/// The number of pairs that the device has; 1 when what it says is none (section 5.1.4.1), or when its control queue
/// would have no number.
std::uint16_t offered_pairs(Transport& transport, const Negotiated& negotiated) noexcept {
  if (!negotiated.has(feature_pairs)) return 1;
  const auto offered = read_field<std::uint16_t>(transport, config_pairs);
  return offered == 0 || offered > UINT16_MAX / 2 ? std::uint16_t{1} : offered;
}

}  // namespace

NetDevice::~NetDevice() { stop(); }

void NetDevice::stop() noexcept {
  if (transport_ != nullptr) transport_->set_status(Status::reset);
  pair_count_ = first_pair_ = 0;
  pairs_.reset();
  control_.reset();
  transmit_slots_.reset();
  first_transmit_ = no_slot;
}

bool NetDevice::needs_reset() noexcept {
  if (statistics_.needs_reset != 0 || (transport_->status() & Status::needs_reset) == 0) return false;
  ++statistics_.needs_reset;
  return true;
}

Negotiated NetDevice::negotiate_features(std::uint64_t further) noexcept {
  constexpr std::uint64_t base = feature_mtu | feature_mac | feature_merge | feature_checksum | feature_guest_checksum |
                                 Feature::any_layout | Feature::indirect | Feature::event_index;
  std::uint64_t wanted = base | further;
  // Large frames are received only into several buffers; and segmentation depends on the checksum (section 5.1.3.1).
  const std::uint64_t offered = transport_->device_features();
  if ((offered & feature_merge) != 0 && (offered & feature_guest_checksum) != 0) {
    wanted |= feature_guest_tso4 | feature_guest_tso6;
  }
  if ((offered & feature_checksum) != 0) wanted |= feature_host_tso4 | feature_host_tso6 | feature_host_uso;
  return negotiate(*transport_, wanted);
}

bool NetDevice::describe(const Negotiated& negotiated) noexcept {
  if (negotiated.has(feature_mac)) {
    const std::uint64_t mac = read_configuration(*transport_, config_mac, sizeof(MacAddress), 1);
    std::memcpy(&capabilities_.mac, &mac, sizeof(MacAddress));
  } else if (!choose_random_mac(environment_, capabilities_.mac)) {
    return false;
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
  // Without merging a frame must fit into one buffer.
  if (!merge_ && capabilities_.mtu + ethernet_header_size + header_size_ > frame_capacity) {
    capabilities_.mtu = default_mtu;
  }
  return true;
}

/// Receive buffers of all pairs together: never more than a quarter of the pool waits in the rings.
std::size_t NetDevice::affordable() const noexcept {
  return std::max<std::size_t>(buffers_.bound() / (4 * (frame_capacity + sizeof(BufferBlock))), 8);
}

std::uint16_t NetDevice::wanted_pairs(std::uint16_t offered) const noexcept {
  const std::size_t shares = std::min<std::size_t>(affordable(), maximum_receive) / least_share;
  const std::size_t limit = std::clamp<std::size_t>(shares, 1, maximum_pairs);
  return static_cast<std::uint16_t>(std::min<std::size_t>(offered, limit));
}

bool NetDevice::start_queues(const Negotiated& negotiated) noexcept {
  const auto size = static_cast<std::uint16_t>(maximum_receive / pair_count_);
  const auto requests = static_cast<std::uint16_t>(maximum_transmit / pair_count_);
  for (std::uint16_t index = 0; Pair & pair : pairs()) {
    if (!pair.receive.start(*transport_, index++, negotiated, size)) return false;
    if (!pair.transmit.start(*transport_, index++, negotiated, size, requests)) return false;
    if (pair.transmit.size() < Queue::maximum_segments) return false;  // section 2.7.5: no longer chain than the queue
  }
  return true;
}

bool NetDevice::allocate_slots(Pair& pair) noexcept {
  const std::size_t ring = pair.receive.size() / (split_header_ ? 2U : 1U);
  const auto count = static_cast<std::uint16_t>(std::min(ring, affordable() / pair_count_));
  pair.slots.reset(new (std::nothrow) MutableSlice[count]);
  pair.empty.reset(new (std::nothrow) std::uint16_t[count]);
  if (!pair.slots || !pair.empty) return false;
  while (pair.empty_count < count) {
    pair.empty[pair.empty_count] = pair.empty_count;
    ++pair.empty_count;
  }
  return true;
}

bool NetDevice::allocate_slots() noexcept {
  if (!std::ranges::all_of(pairs(), [this](Pair& pair) noexcept { return allocate_slots(pair); })) return false;
  transmit_slots_.reset(new (std::nothrow) TransmitSlot[maximum_transmit]);
  if (!transmit_slots_) return false;
  for (std::uint16_t i = 0; i < maximum_transmit; ++i) {
    transmit_slots_[i].next_free = first_transmit_;
    first_transmit_ = i;
  }
  return true;
}

/// Section 5.1.2: behind the pairs that the device has, used or not.
bool NetDevice::start_control(const Negotiated& negotiated, std::uint16_t offered) noexcept {
  if (pair_count_ == 1) return true;
  control_.reset(new (std::nothrow) Control);
  const auto index = static_cast<std::uint16_t>(2 * offered);
  return control_ && control_->queue.start(*transport_, index, negotiated, Control::queue_size);
}

/// Section 5.1.6.5.5: until the device has agreed it knows of one pair. Looks at its status meanwhile, which lets a
/// virtual machine's host get at the request; a device that does not answer is waited for some seconds at most.
bool NetDevice::set_pairs() noexcept {
  constexpr unsigned polls = 1'000'000;
  if (pair_count_ == 1) return true;
  Control& control = *control_;
  store_little<std::uint16_t>(control.pairs, 0, pair_count_);
  const std::array segments{readable(control.header), readable(control.pairs), writable({&control.acknowledgement, 1})};
  if (!control.queue.add(segments, 0)) return false;
  control.queue.publish();
  for (unsigned i = 0; i < polls && (transport_->status() & Status::needs_reset) == 0; ++i) {
    if (control.queue.take()) return control.acknowledgement == std::byte{0};  // VIRTIO_NET_OK
  }
  return false;
}

NetDevice::Error NetDevice::start_with(std::uint64_t further_features) noexcept {
  const Negotiated negotiated = negotiate_features(further_features);
  if (!negotiated.good) return Error::refused;
  if (!describe(negotiated)) return Error::no_entropy;
  const std::uint16_t offered = offered_pairs(*transport_, negotiated);
  const std::uint16_t wanted = wanted_pairs(offered);
  if (wanted == 1 && further_features != 0) return Error::refused;
  pairs_.reset(new (std::nothrow) Pair[wanted]);
  if (!pairs_) return Error::no_memory;
  pair_count_ = wanted;
  if (!start_queues(negotiated) || !start_control(negotiated, offered)) return Error::no_queue;
  if (!allocate_slots()) return Error::no_memory;
  finish_start(*transport_);
  for (Pair& pair : pairs()) {
    const std::uint16_t slots = pair.empty_count;
    refill(pair);
    if (pair.empty_count == slots) return Error::no_memory;
  }
  return set_pairs() ? Error::none : Error::refused;
}

NetDevice::Error NetDevice::start(Transport& transport) noexcept {
  transport_ = &transport;
  // One is of no use without the other (section 5.1.3.1).
  constexpr std::uint64_t further = feature_control | feature_pairs;
  if ((transport.device_features() & further) == further) {
    if (start_with(further) == Error::none) return Error::none;
    // Once more from the reset on, so that nothing of the pairs is left with the device: it might still agree.
    stop();
  }
  const Error error = start_with(0);
  if (error != Error::none) stop();
  return error;
}

}  // namespace mirage::virtio
