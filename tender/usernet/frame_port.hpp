// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <tender/error.hpp>

namespace mirage::usernet {

using tender::Result;

inline constexpr std::size_t ethernet_header = 14;
/// Longest frame in either direction: an Ethernet header and the largest IP packet that libslirp sends.
inline constexpr std::size_t maximum_frame = 65535 + ethernet_header;

/// What the port did not deliver.
struct FrameCounters {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  std::uint64_t too_long = 0;    ///< from the guest, longer than maximum_frame
  std::uint64_t too_short = 0;   ///< from the guest, without a whole header
  std::uint64_t not_ip = 0;      ///< from the guest, neither IPv4 nor ARP
  std::uint64_t queue_full = 0;  ///< to the guest, which does not read
  std::uint64_t unsendable = 0;  ///< to the guest, refused by the socket
};

/// Our end of the pair of sockets: a frame is a message. Frames for which the socket has no room wait in a bounded
/// queue; while any waits the caller should not produce more.
class FramePort {
 public:
  /// Bytes that wait for the guest at most.
  static constexpr std::size_t queue_bound = std::size_t{1} << 20;

  /// Takes over `descriptor`; an error when it is not one end of a pair with message boundaries.
  static Result<FramePort> open(int descriptor);

  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// The peer is gone.
  [[nodiscard]] bool closed() const { return closed_; }
  /// Frames wait for room in the socket.
  [[nodiscard]] bool congested() const { return !deaf_ && !closed_ && head_ != queue_.size(); }
  [[nodiscard]] const FrameCounters& counters() const { return counters_; }

  /// The next frame from the guest, valid until the next call; nothing when there is none now. A frame that is too
  /// long, too short or of a foreign protocol is dropped, counted, and an empty one returned.
  std::optional<std::span<const std::byte>> receive();
  /// Sends or queues a frame; what does not fit is dropped and counted.
  void send(std::span<const std::byte> frame);
  /// Sends what waits as far as there is room.
  void flush();

 private:
  enum class Outcome : std::uint8_t { done, no_room, closed };

  explicit FramePort(int descriptor, bool connection_oriented);
  Outcome transmit(std::span<const std::byte> frame);
  void enqueue(std::span<const std::byte> frame);
  void lose_listener();
  [[nodiscard]] bool peer_hung_up() const;
  [[nodiscard]] bool acceptable(std::size_t size);

  int descriptor_;
  bool connection_oriented_;
  bool closed_ = false;
  bool deaf_ = false;  ///< the peer reads no more
  FrameCounters counters_;
  std::vector<std::byte> input_;
  std::vector<std::byte> queue_;  // records of a 4-byte length and the frame, from head_ on
  std::size_t head_ = 0;
};

}  // namespace mirage::usernet
