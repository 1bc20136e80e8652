// SPDX-License-Identifier: ISC
// For tests: a guest made by hand, that is frames out and in, and the helper process at the other end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace mirage::usernet::test {

using Frame = std::vector<std::uint8_t>;

inline constexpr std::array<std::uint8_t, 6> guest_mac{0x52, 0x54, 0, 0x12, 0x34, 0x56};
inline constexpr std::array<std::uint8_t, 6> gateway_mac{0x52, 0x55, 10, 0, 2, 2};
inline constexpr std::uint32_t guest_ip = 0x0a00020f;
inline constexpr std::uint32_t gateway_ip = 0x0a000202;

std::uint16_t get16(const Frame& frame, std::size_t offset);
std::uint32_t get32(const Frame& frame, std::size_t offset);
void put16(Frame& frame, std::size_t offset, std::uint16_t value);
void put32(Frame& frame, std::size_t offset, std::uint32_t value);

/// RFC 1071 over [offset, end of frame), with a sum to start from.
std::uint16_t checksum(const Frame& frame, std::size_t offset, std::size_t size, std::uint32_t sum = 0);

Frame arp_request(std::uint32_t sender, std::uint32_t target);
/// Ethernet and IPv4 header (20 bytes, checksum filled in) in front of `payload`.
Frame ipv4(std::uint8_t protocol, std::uint32_t source, std::uint32_t destination, const Frame& payload);
Frame udp(std::uint32_t source, std::uint16_t source_port, std::uint32_t destination, std::uint16_t destination_port,
          std::string_view payload);

struct Segment {
  std::uint32_t destination = gateway_ip;
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint32_t sequence = 0, acknowledgement = 0;
  std::uint8_t flags = 0;
  std::string_view payload{};
};
inline constexpr std::uint8_t fin = 1, syn = 2, rst = 4, ack = 16;
Frame tcp(const Segment& segment);

/// Where things are in a received frame with a 20-byte IPv4 header.
inline constexpr std::size_t ip_at = 14, transport_at = 34, tcp_payload_at = 54, udp_payload_at = 42;
bool is_ipv4(const Frame& frame, std::uint8_t protocol);

/// mirage-usernet as a child process, and the guest's end of the pair. Ends it when it goes.
class Helper {
 public:
  /// `isolated`: in a network namespace of its own (where the test may make one), so that nothing leaves the machine.
  explicit Helper(std::vector<std::string> options, bool isolated = false);
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// It said that it is ready.
  [[nodiscard]] bool ready() const { return !ready_.empty(); }
  /// What it said with that.
  [[nodiscard]] const std::string& ports() const { return ready_; }
  bool send(const Frame& frame);
  /// The next frame that `wanted` likes, others are thrown away; nothing after `milliseconds`.
  std::optional<Frame> receive(const std::function<bool(const Frame&)>& wanted, int milliseconds = 5000);
  /// True when a frame is waiting within `milliseconds`.
  [[nodiscard]] bool waiting(int milliseconds) const;
  void close_socket();
  /// The wait status; closes the socket first.
  int wait();
  /// What it wrote to standard error, after wait().
  [[nodiscard]] std::string errors();

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
  int errors_ = -1;
  std::string ready_;
};

/// A socket of this machine on 127.0.0.1; -1 when it cannot be made. The caller closes it.
int loopback_socket(int type, std::uint16_t bind_port = 0);
std::uint16_t port_of(int socket);
/// Connects a stream to 127.0.0.1:port.
int connect_to(std::uint16_t port);
/// A port that was free a moment ago.
std::uint16_t free_port(int type);

}  // namespace mirage::usernet::test
