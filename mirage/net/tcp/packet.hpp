// SPDX-License-Identifier: ISC
// Between packets and the core's segments: checks on the way in, headers and checksums on the way out.
#pragma once

#include <expected>

#include <mirage/module/ip.hpp>
#include <mirage/net/tcp/ip_port.hpp>
#include <mirage/net/tcp/segment.hpp>

namespace mirage::net::tcp {

enum class PacketError : std::uint8_t { malformed, bad_checksum, not_unicast };

/// A packet that passed the checks; its payload is what follows the header.
struct Incoming {
  Segment segment;
  Port local_port = 0;
  Port remote_port = 0;
  std::uint32_t header_size = 0;
};

/// Checks header and checksum. The payload stays in `packet`.
[[nodiscard]] Result<Incoming, PacketError> read_packet(const IpPacket& packet) noexcept;

/// Bytes of header and options of `departure`.
[[nodiscard]] std::uint32_t header_size(const Departure& departure) noexcept;

/// Writes the header to `frame.header` (whose content is then the header, followed by what was already in it) and the
/// checksum, or what a device needs to complete it. Precondition: frame.header has header_size() bytes at its front.
void write_header(const Departure& departure, Port local, Port remote, const Path& path,
                  const NetCapabilities& capabilities, TransmitFrame& frame) noexcept;

/// The largest payload that one frame may carry: many segments when the device segments, else one.
[[nodiscard]] std::uint32_t maximum_payload(const NetCapabilities& capabilities, const Path& path,
                                            std::uint16_t segment_size) noexcept;

}  // namespace mirage::net::tcp
