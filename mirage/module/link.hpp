// SPDX-License-Identifier: ISC
// What the IP layer sees of the link below: packets whose link header is gone, and next hops instead of link addresses.
#pragma once

#include <concepts>
#include <cstdint>
#include <utility>

#include <mirage/base/result.hpp>
#include <mirage/module/net.hpp>

namespace mirage {

/// A packet for a network protocol: the link header has been checked and removed.
struct LinkPacket {
  std::uint16_t protocol = 0;  ///< EtherType
  MacAddress source;
  bool is_broadcast = false;  ///< to a link-layer group address (multicast or broadcast)
  SliceList data;             ///< from the network header on; headers are contiguous in the first slice
  Offload offload;            ///< checksum_start counts from the network header
};

enum class LinkError : std::uint8_t { queue_full, no_memory, unreachable };

/// send(): `frame.header` starts with the network header and has ethernet_header_size bytes in front; checksum_start
/// and header_length count from the network header. The frame goes to the transmit queue, or waits (bounded) until the
/// next hop's link address is known; `unreachable` when the next hop did not answer lately. send_broadcast(),
/// send_multicast(): to every station, to a multicast group's. The frame is unspecified after failure.
template <class L>
concept LinkLayer = requires(L& link, const L& constant, Ipv4Address next_hop, TransmitFrame&& frame) {
  { link.send(next_hop, std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { link.send_broadcast(std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { link.send_multicast(next_hop, std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { constant.capabilities() } noexcept -> std::same_as<const NetCapabilities&>;
};

/// Any link layer behind function pointers, as NetPort is for devices. Refers to the link, which must outlive it.
class LinkPort {
 public:
  template <class L>
    requires(!std::same_as<L, LinkPort> && LinkLayer<L>)  // else it would wrap itself instead of being copied
  explicit LinkPort(L& link) noexcept
      : link_(&link),
        send_([](void* self, Ipv4Address next_hop, TransmitFrame&& frame) noexcept {
          return static_cast<L*>(self)->send(next_hop, std::move(frame));
        }),
        send_broadcast_([](void* self, TransmitFrame&& frame) noexcept {
          return static_cast<L*>(self)->send_broadcast(std::move(frame));
        }),
        send_multicast_([](void* self, Ipv4Address group, TransmitFrame&& frame) noexcept {
          return static_cast<L*>(self)->send_multicast(group, std::move(frame));
        }),
        capabilities_([](const void* self) noexcept -> const NetCapabilities& {
          return static_cast<const L*>(self)->capabilities();
        }) {}

  Result<void, LinkError> send(Ipv4Address next_hop, TransmitFrame&& frame) const noexcept {
    return send_(link_, next_hop, std::move(frame));
  }
  Result<void, LinkError> send_broadcast(TransmitFrame&& frame) const noexcept {
    return send_broadcast_(link_, std::move(frame));
  }
  Result<void, LinkError> send_multicast(Ipv4Address group, TransmitFrame&& frame) const noexcept {
    return send_multicast_(link_, group, std::move(frame));
  }
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_(link_); }

 private:
  void* link_;
  Result<void, LinkError> (*send_)(void*, Ipv4Address, TransmitFrame&&) noexcept;
  Result<void, LinkError> (*send_broadcast_)(void*, TransmitFrame&&) noexcept;
  Result<void, LinkError> (*send_multicast_)(void*, Ipv4Address, TransmitFrame&&) noexcept;
  const NetCapabilities& (*capabilities_)(const void*) noexcept;
};

}  // namespace mirage
