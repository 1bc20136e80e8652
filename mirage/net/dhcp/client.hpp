// SPDX-License-Identifier: ISC
// The DHCP client: the state machine over UDP and a timer. It tells nobody about its lease; whoever owns it asks with
// take_change() once per turn.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include <mirage/async/shard.hpp>
#include <mirage/module/udp_port.hpp>
#include <mirage/net/dhcp/machine.hpp>

namespace mirage::net::dhcp {

class Client final : public DatagramHandler {
 public:
  template <Udp U>
  Client(Shard& shard, U& udp, std::string_view host_name) noexcept
      : shard_(shard), udp_(udp), machine_(host_name), timer_(*this) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  /// Binds port 68 and asks for an address. Precondition: shard.seed_random() succeeded.
  [[nodiscard]] Result<void, UdpError> start(const MacAddress& mac) noexcept;
  /// What became of the lease since the last call.
  [[nodiscard]] Actions::Change take_change() noexcept { return std::exchange(change_, Actions::Change::none); }
  [[nodiscard]] bool declines() const noexcept { return machine_.declines(shard_.now()); }
  /// The address cannot be used: gives it back, and asks for another one. The owner takes it away from IP first,
  /// because a DECLINE comes from 0.0.0.0 (RFC 2131 table 5).
  void conflict() noexcept { perform(machine_.conflict(shard_.now())); }
  [[nodiscard]] const Lease& lease() const noexcept { return machine_.lease(); }
  [[nodiscard]] State state() const noexcept { return machine_.state(); }
  [[nodiscard]] const Counters& counters() const noexcept { return machine_.counters(); }

  void on_burst(std::span<Datagram> datagrams) noexcept override;

 private:
  struct StepTimer : Timer {
    explicit StepTimer(Client& client) noexcept
        : Timer([](Timer& timer) noexcept {
            Client& self = *static_cast<StepTimer&>(timer).owner;
            self.perform(self.machine_.expire(self.shard_.now()));
          }),
          owner(&client) {}
    Client* owner;
  };
  void perform(const Actions& actions) noexcept;
  void send(const wire::DhcpMessage& message, Ipv4Address source, Ipv4Address destination) noexcept;
  Shard& shard_;
  UdpPort udp_;
  Machine machine_;
  StepTimer timer_;
  Actions::Change change_ = Actions::Change::none;
  bool started_ = false;
};

}  // namespace mirage::net::dhcp
