// SPDX-License-Identifier: ISC
// SKETCH of the interface that net/stack.hpp plugs in (the implementation follows; names and signatures are final).
//
//   class Stack {                                   // in net/stack.hpp
//     Ip ip_; net::tcp::Tcp tcp_{shard, ip_, options};
//     poll():  ... ip.input(frame) -> case ip_protocol::tcp: tcp_.input(packet);        // takes packet.payload
//              ICMP error with a quoted TCP header -> tcp_.on_error(error);
//     flush(): tcp_.flush();  then the device's send                                   // once per turn, before the
//     device start(): after shard.seed_random(): tcp_.start();                                // keys for ISNs, ports,
//     hash table
//
// Tcp arms its own timers on shard.timers(); it is not a Poller. new_frame(n) is asked for n bytes of TCP header with
// header_headroom in front; payload of at most 256 bytes is copied behind the header. When
// ip.capabilities().transmit_checksum is false, TCP fills in the whole checksum; otherwise offload.needs_checksum with
// the folded, not inverted pseudo-header sum. segment_tcp4/6 with maximum_frame > mtu + 14: segments up to 64 KiB.
#pragma once

#include <mirage/async/shard.hpp>
#include <mirage/module/ip.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/net/tcp/ip_port.hpp>

namespace mirage::net::tcp {

struct TcpOptions {
  std::uint32_t maximum_connections = 1024;
  std::uint32_t receive_window = 256 * 1024;
  std::uint32_t send_buffer = 256 * 1024;
};

class Tcp {
 public:
  template <IpLayer Ip>
  Tcp(Shard& shard, Ip& ip, const TcpOptions& options = {}) noexcept;
  // Tcp::Flow, Tcp::Listener
  void start() noexcept;
  void input(IpPacket& packet) noexcept;
  void on_error(const TransportError& error) noexcept;
  void flush() noexcept;
  // listen(port, ListenOptions), connect(Endpoint), shard(), counters()
};

}  // namespace mirage::net::tcp
