// SPDX-License-Identifier: ISC
// What the IP layer sees of the link below: packets whose link header is gone, and next hops instead of link addresses.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

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

/// send(): `frame.header` starts with the IPv4 header and has header_headroom in front of its transport header;
/// checksum_start counts from the IP header. The frame goes to the transmit queue, or waits (bounded) until the next
/// hop's link address is known; `unreachable` when the next hop did not answer lately.
/// send_broadcast(): to every station. Both leave the frame unspecified after failure.
template <class L>
concept LinkLayer = requires(L& link, const L& constant, Ipv4Address next_hop, TransmitFrame&& frame) {
  { link.send(next_hop, std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { link.send_broadcast(std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { link.send_multicast(next_hop, std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { constant.capabilities() } noexcept -> std::same_as<const NetCapabilities&>;
};

}  // namespace mirage
