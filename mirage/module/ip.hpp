// SPDX-License-Identifier: ISC
// What a transport protocol sees of the IP layer, whichever version it is.
#pragma once

#include <concepts>
#include <cstdint>

#include <mirage/base/address.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/result.hpp>
#include <mirage/base/text.hpp>
#include <mirage/module/net.hpp>

namespace mirage {

/// Addresses that mean something on one link only, so that their interface must be named: link-local ones, groups, the
/// limited broadcast address (RFC 4007 4, RFC 1122 3.3.4).
[[nodiscard]] constexpr bool has_zone(const IpAddress& address) noexcept {
  return address.is_link_local() || address.is_multicast() || (address.is_v4() && address.v4().is_broadcast());
}
/// The zone of such an address on an interface: the interface's number; 0 for others. Zone 0 of such an address is the
/// default one (RFC 4007 6), which is the first interface.
[[nodiscard]] constexpr std::uint16_t zone_of(const IpAddress& address, std::uint16_t interface) noexcept {
  return interface != 0 && has_zone(address) ? interface : std::uint16_t{0};
}

/// A way to a destination: computed once per flow, so that transports never name an IP version.
struct Path {
  IpAddress source;
  IpAddress destination;
  std::uint16_t interface = 0;
  std::uint16_t mtu = 0;  ///< largest IP packet, header included
  /// One's complement sum (not folded, not inverted) of source and destination: add protocol and length.
  std::uint32_t pseudo_header_sum = 0;
  std::uint8_t ip_header_size = 20;
  bool is_local_broadcast = false;
};

/// A packet for a transport protocol: the IP header has been checked and removed, fragments are joined.
struct IpPacket {
  IpPacket() noexcept {}  // NOLINT: as LinkPacket's
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;  ///< DSCP and ECN
  std::uint8_t hop_limit = 0;
  bool checksum_verified = false;       ///< by the device, or (needs_checksum) never left the host
  bool checksum_optional = false;       ///< UDP may have none (RFC 768; RFC 8200 8.1 forbids it)
  bool is_multicast = false;            ///< multicast or broadcast destination
  std::uint32_t pseudo_header_sum = 0;  ///< as in Path
  std::uint16_t segment_size = 0;       ///< of a coalesced packet; 0: a single one
  std::uint16_t interface = 0;          ///< where it came in
  std::uint16_t source_zone = 0;        ///< see zone_of()
  std::uint16_t destination_zone = 0;
  bool was_fragmented = false;  ///< it came in fragments, or with a fragment header
  /// The transport header is contiguous in the first slice if it has at most 60 bytes (or the whole payload).
  SliceList payload;
  /// The IP header and as much as an ICMP error quotes, for errors in reply; a view into the received buffer.
  Slice original;
};

enum class IpError : std::uint8_t { no_route, no_memory, queue_full, too_long, unresolved };

[[nodiscard]] constexpr std::string_view to_string(IpError error) noexcept {
  switch (error) {
    case IpError::no_route:
      return "no route to host";
    case IpError::no_memory:
      return "out of memory";
    case IpError::queue_full:
      return "queue full";
    case IpError::too_long:
      return "packet too long";
    case IpError::unresolved:
      return "too much waits for link addresses";
  }
  return "?";
}

inline void append_value(TextWriter& out, IpError error) noexcept { out.append(to_string(error)); }

namespace ip_protocol {
inline constexpr std::uint8_t icmp = 1;
inline constexpr std::uint8_t igmp = 2;
inline constexpr std::uint8_t tcp = 6;
inline constexpr std::uint8_t udp = 17;
inline constexpr std::uint8_t icmpv6 = 58;
}  // namespace ip_protocol

/// What an ICMP error tells a transport (RFC 1122 section 3.2.2, 4.2.3.9; RFC 5927: the transport must check that the
/// quoted header belongs to a live flow and that its sequence number is outstanding).
struct TransportError {
  enum class Kind : std::uint8_t {
    soft,
    port_unreachable,
    protocol_unreachable,
    administratively_prohibited,
    packet_too_big
  };
  Kind kind = Kind::soft;
  IpAddress local;              ///< source of the quoted packet
  IpAddress remote;             ///< its destination
  std::uint16_t interface = 0;  ///< where the error came in: that of `local`
  std::uint16_t mtu = 0;        ///< of packet_too_big, no less than paths of that version have
  Bytes transport_header;       ///< at least 8 bytes
};

/// route(source, destination, zone): chooses interface, next hop and, when `source` is unspecified, the source address.
/// `zone` is that of a destination that has one (see has_zone()), else it does not matter. capabilities(): of the
/// interface that a Path names; interfaces may differ.
/// send(): `frame.header` starts with the transport header and comes from new_frame(); offload.checksum_start is 0,
/// checksum_offset relative to the transport header, header_length that of the transport header; IP and link headers
/// are put in front and the offsets moved. The frame goes to the transmit queue, or waits (bounded) for address
/// resolution. new_frame(): a header buffer with headroom for every layer below; empty when the pool has none.
template <class I>
concept IpLayer = requires(I& ip, IpAddress address, const Path& path, TransmitFrame frame, std::uint8_t byte,
                           std::uint16_t zone, std::uint16_t interface) {
  { ip.route(address /*source*/, address /*destination*/, zone) } noexcept -> std::same_as<Result<Path, IpError>>;
  {
    ip.send(path, byte /*protocol*/, byte /*traffic class*/, std::move(frame))
  } noexcept -> std::same_as<Result<void, IpError>>;
  { ip.new_frame(std::uint32_t{} /*bytes of transport header*/) } noexcept -> std::same_as<MutableSlice>;
  { ip.capabilities(interface) } noexcept -> std::same_as<const NetCapabilities&>;
};

/// Groups: join() is counted for each group and interface, false at the bound.
template <class I>
concept GroupLayer = requires(I& ip, const IpAddress& group, std::uint16_t interface) {
  { ip.join(group, interface) } noexcept -> std::same_as<bool>;
  { ip.leave(group, interface) } noexcept;
};

}  // namespace mirage
