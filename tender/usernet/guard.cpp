// SPDX-License-Identifier: ISC
#include <cstdint>

#include <tender/usernet/frame_port.hpp>
#include <tender/usernet/guard.hpp>

namespace mirage::usernet {

namespace {

constexpr std::size_t ipv4_header = 20;
constexpr std::uint8_t icmp = 1, tcp = 6, udp = 17;
constexpr Port dhcp_server = 67;
constexpr std::uint8_t tcp_syn = 0x02, tcp_ack = 0x10;

// Octets of an IPv4 packet without options (RFC 791 section 3.1) and of what follows it.
constexpr std::size_t at_version = 0, at_length = 2, at_fragment = 6, at_protocol = 9, at_source = 12,
                      at_destination = 16, at_source_port = 20, at_destination_port = 22, at_tcp_flags = 33;

std::uint8_t load8(std::span<const std::byte> bytes, std::size_t offset) {
  return std::to_integer<std::uint8_t>(bytes[offset]);
}
std::uint16_t load16(std::span<const std::byte> bytes, std::size_t offset) {
  return static_cast<std::uint16_t>(load8(bytes, offset) << 8 | load8(bytes, offset + 1));
}
Ipv4Address load_address(std::span<const std::byte> bytes, std::size_t offset) {
  return {std::uint32_t{load16(bytes, offset)} << 16 | load16(bytes, offset + 2)};
}

bool is_ipv4(std::span<const std::byte> frame) {
  return frame.size() >= ethernet_header + ipv4_header && load16(frame, 12) == 0x0800;
}

/// A whole datagram with a plain header.
bool is_plain(std::span<const std::byte> packet) {
  const std::uint16_t length = load16(packet, at_length);
  const bool fragment = (load16(packet, at_fragment) & 0x3fff) != 0;
  return load8(packet, at_version) == 0x45 && length >= ipv4_header && length <= packet.size() && !fragment;
}

std::size_t minimum_size(std::uint8_t protocol) { return ipv4_header + (protocol == tcp ? 20 : 8); }

}  // namespace

Guard::Guard(const Options& options)
    : network_{options.network}, host_{options.host}, host_loopback_{options.host_loopback} {}

bool Guard::permits(std::span<const std::byte> frame) const {
  if (!is_ipv4(frame)) {
    return true;  // ARP
  }
  const auto packet = frame.subspan(ethernet_header);
  const std::uint8_t protocol = load8(packet, at_protocol);
  const Ipv4Address source = load_address(packet, at_source);
  const Ipv4Address destination = load_address(packet, at_destination);
  if (!is_plain(packet) || (protocol != icmp && protocol != tcp && protocol != udp) ||
      load16(packet, at_length) < minimum_size(protocol)) {
    return false;
  }
  const bool is_dhcp = protocol == udp && load16(packet, at_destination_port) == dhcp_server;
  if (!network_.contains(source) && !(source.is_unspecified() && is_dhcp)) {
    return false;
  }
  if (destination == host_ || destination.is_broadcast() || destination == network_.broadcast()) {
    return is_dhcp || permits_local(packet);
  }
  const bool is_this_machine = destination.is_loopback() || destination.value >> 24 == 0;
  return destination.is_unicast() && (!is_this_machine || host_loopback_);
}

bool Guard::permits_local(std::span<const std::byte> packet) const {
  switch (load8(packet, at_protocol)) {
    case icmp:
      return true;  // answered by libslirp itself
    case tcp:
      return host_loopback_ || (load8(packet, at_tcp_flags) & (tcp_syn | tcp_ack)) != tcp_syn;
    default:
      return host_loopback_ || peers_[load16(packet, at_destination_port)];
  }
}

void Guard::note_sent(std::span<const std::byte> frame) {
  if (!is_ipv4(frame)) {
    return;
  }
  const auto packet = frame.subspan(ethernet_header);
  if (is_plain(packet) && packet.size() >= minimum_size(udp) && load8(packet, at_protocol) == udp &&
      load_address(packet, at_source) == host_) {
    peers_.set(load16(packet, at_source_port));
  }
}

}  // namespace mirage::usernet
