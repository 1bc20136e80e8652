// SPDX-License-Identifier: ISC
// Module type Stack on sockets of the host: an application runs without a network device, at the addresses of the
// machine. What it can observe of TCP is the host's: no counters, no simulation.
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/target/unix/socket_tcp.hpp>
#include <mirage/target/unix/socket_udp.hpp>

namespace mirage::target::posix {

class SocketStack final : public Poller {
 public:
  using Tcp = SocketTcp;
  using Udp = SocketUdp;

  /// `address`: where to listen and send from; unspecified: any address of the host.
  explicit SocketStack(Shard& shard, const IpAddress& address = {}) noexcept
      : shard_(shard), address_(address), tcp_(shard, address), udp_(shard, address) {}
  SocketStack(const SocketStack&) = delete;
  SocketStack& operator=(const SocketStack&) = delete;

  Task<Result<void, StartError>> start();

  [[nodiscard]] Tcp& tcp() noexcept { return tcp_; }
  [[nodiscard]] Udp& udp() noexcept { return udp_; }
  /// The host's loopback address when the stack is at any address: somebody on the host can reach it there.
  [[nodiscard]] IpAddress address() noexcept {
    return address_.is_unspecified() ? IpAddress{Ipv4Address::of(127, 0, 0, 1)} : address_;
  }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  /// See TellsSource. The host does not tell how long its networks' prefixes are: 64 bits of an IPv6 address (RFC 4291
  /// 2.5.1), and all of an IPv4 address.
  [[nodiscard]] std::optional<SourceAddress> source_for(const Endpoint& remote) noexcept;
  void visit_counters(CounterVisitor& visitor) const noexcept { udp_.visit_counters(visitor); }

  bool poll() noexcept override { return environment_of(shard_).dispatch(); }

 private:
  Shard& shard_;
  IpAddress address_;
  Tcp tcp_;
  Udp udp_;
};

static_assert(Stack<SocketStack> && TellsSource<SocketStack>);

}  // namespace mirage::target::posix
