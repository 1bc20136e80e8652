// SPDX-License-Identifier: ISC
// UDP (RFC 768, RFC 1122 4.1). Burst first: datagrams for one port are handed over together at the end of a receive
// burst. Nothing is queued here: what a handler does not take is gone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <mirage/async/shard.hpp>
#include <mirage/module/ip_port.hpp>
#include <mirage/module/port_share.hpp>
#include <mirage/module/udp.hpp>
#include <mirage/net/udp/port_table.hpp>

namespace mirage::net::udp {

struct Counters {
  std::uint64_t received = 0;  ///< handed to a handler
  std::uint64_t sent = 0;
  std::uint64_t drop_truncated = 0;
  std::uint64_t drop_checksum = 0;
  std::uint64_t drop_no_port = 0;
  std::uint64_t drop_no_memory = 0;
  std::uint64_t refused = 0;  ///< not sent: no route, too long, no memory or queue full
  std::uint64_t errors = 0;   ///< ICMP errors about what we sent
};

class Udp {
 public:
  static constexpr std::size_t burst = 32;                             ///< datagrams that one on_burst() gets at most
  static constexpr Port first_ephemeral = PortShare::first_ephemeral;  ///< of 32768, as many as RFC 6056 3.2 can get
  static constexpr std::size_t maximum_payload = 65507;                ///< 65535 - 20 - 8

  template <IpLayer Ip>
  Udp(Shard& shard, Ip& ip) noexcept : Udp(shard, IpPort{ip}) {}
  Udp(Shard& shard, IpPort ip) noexcept;
  Udp(const Udp&) = delete;
  Udp& operator=(const Udp&) = delete;
  ~Udp();

  /// Which ephemeral ports it may choose.
  void share_ports(PortShare share) noexcept { share_ = share; }

  // module type Udp
  [[nodiscard]] Result<Port, UdpError> bind(Port port, DatagramHandler& handler) noexcept;
  void unbind(Port port) noexcept;
  [[nodiscard]] bool is_bound(Port port) const noexcept { return ports_.find(port) != nullptr; }
  /// How many were accepted, from the front; last_error() tells why the first of the rest was not.
  std::size_t send(std::span<Datagram> datagrams) noexcept;
  [[nodiscard]] Result<void, UdpError> join(const IpAddress& group, std::uint16_t interface = 0) noexcept;
  void leave(const IpAddress& group, std::uint16_t interface = 0) noexcept { ip_.leave(group, interface); }
  [[nodiscard]] UdpError last_error() const noexcept { return last_error_; }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  /// False when nobody listens on the port: the packet is untouched and wants a port-unreachable.
  [[nodiscard]] bool input(IpPacket& packet) noexcept;
  /// Passed on to the handler (RFC 1122 4.1.3.3). False for an error about what no port of ours, or none of its flows,
  /// can have sent.
  bool on_error(const TransportError& error) noexcept;
  /// Hands over what the burst has collected; called at its end.
  void deliver() noexcept;
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Pending;  // the datagrams collected for one handler
  [[nodiscard]] bool checksum_is_valid(const IpPacket& packet, std::size_t length) const noexcept;
  static constexpr std::size_t maximum_run = 64;  ///< datagrams in one frame: Linux takes no more (UDP_MAX_SEGMENTS)
  static constexpr std::size_t copied_payload = 256;  ///< up to this size the payloads of a run are copied together,
  static constexpr std::size_t copied_run = frame_capacity - header_headroom - 8;  ///< as many as fit one small buffer
  void collect(DatagramHandler& handler, const Datagram& like, SliceList&& payload) noexcept;
  [[nodiscard]] std::size_t run_length(std::span<const Datagram> datagrams, const Path& path) const noexcept;
  static void attach(std::span<const Datagram> run, bool copies, TransmitFrame& frame) noexcept;
  [[nodiscard]] Result<void, UdpError> send_run(std::span<Datagram> run, const Path& path) noexcept;
  [[nodiscard]] std::optional<Port> free_port() noexcept;

  Shard& shard_;
  IpPort ip_;
  PortShare share_;
  PortTable ports_;
  std::unique_ptr<Pending> pending_;  // taken when the first datagram arrives
  UdpError last_error_ = UdpError::no_route;
  Counters counters_;
};

static_assert(mirage::MulticastUdp<Udp>);

}  // namespace mirage::net::udp
