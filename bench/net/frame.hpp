// SPDX-License-Identifier: ISC
// Frames that are answered in place: the canned peers keep the received frame's buffer and turn it round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <mirage/base/bytes.hpp>
#include <mirage/wire/tcp.hpp>

namespace bench {

inline constexpr std::size_t vnet_size = 10;
inline constexpr std::size_t ip_at = 14;
inline constexpr std::size_t transport_at = ip_at + 20;  // no IP options: Linux sends none
inline constexpr std::size_t tcp_payload_at = transport_at + mirage::wire::tcp_header_size;

/// A TCP segment as far as a canned peer looks at it.
struct Segment {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::uint32_t length = 0;
  std::uint8_t window_scale = 0;  ///< of a SYN
};

/// An Ethernet frame in a buffer that is larger than it, so that the answer may be, too.
class Frame {
 public:
  explicit Frame(mirage::MutableBytes buffer) : buffer_(buffer) {}

  /// Turns an ARP request for us or an ICMP echo request into its answer: the answer's size, or 0.
  std::size_t answer_control(std::size_t size);
  [[nodiscard]] std::uint8_t protocol(std::size_t size) const;
  [[nodiscard]] Segment segment() const;
  /// Swaps MAC addresses, IP addresses and ports.
  void turn_round();
  /// Writes IP and TCP header of an answer with `payload` bytes behind the header; returns the frame's size. The
  /// checksum field holds the pseudo-header's sum. `options` of the SYN,ACK only.
  std::size_t write_tcp(std::uint32_t sequence, std::uint32_t acknowledgement, std::uint8_t flags, std::uint16_t window,
                        std::size_t payload, std::span<const std::uint8_t> options = {});
  /// Completes the TCP checksum, given the sum of the payload.
  void finish_checksum(std::uint16_t payload_sum, std::size_t header_size = mirage::wire::tcp_header_size);
  /// What a vnet header says when the checksum is left to the host.
  static void write_vnet(mirage::MutableBytes header);

 private:
  mirage::MutableBytes buffer_;
};

}  // namespace bench
