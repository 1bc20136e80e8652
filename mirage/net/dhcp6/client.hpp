// SPDX-License-Identifier: ISC
// The DHCPv6 client: the state machine over UDP and a timer. It tells nobody about its lease; whoever owns it asks with
// take_change() once per turn.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include <mirage/async/shard.hpp>
#include <mirage/module/udp_port.hpp>
#include <mirage/net/dhcp6/machine.hpp>

namespace mirage::net::dhcp6 {

class Client final : public DatagramHandler {
 public:
  /// Why start() fails.
  static constexpr std::string_view unavailable = "no DHCPv6: its port is taken";

  template <Udp U>
  Client(Shard& shard, U& udp) noexcept : shard_(shard), udp_(udp), timer_(*this) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  /// Binds port 546 and asks from `own`, the link-local address of the interface `zone`. Once, and again for addresses
  /// where that was stateless; precondition: shard.seed_random() succeeded.
  [[nodiscard]] Result<void, UdpError> start(Machine::Mode mode, const Identity& identity, const IpAddress& own,
                                             std::uint16_t zone) noexcept;
  /// What became of the lease since the last call.
  [[nodiscard]] Actions::Change take_change() noexcept { return std::exchange(change_, Actions::Change::none); }
  /// Another station uses one of the addresses.
  void conflict() noexcept { perform(machine_.conflict(shard_.now())); }
  /// Whether the address is one of the lease.
  [[nodiscard]] bool has(const IpAddress& address) const noexcept;
  /// It asks for that, or for more.
  [[nodiscard]] bool started(Machine::Mode mode) const noexcept { return started_ && machine_.mode() <= mode; }
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
  void send(const wire::Dhcpv6Message& message) noexcept;
  Shard& shard_;
  UdpPort udp_;
  Machine machine_;
  StepTimer timer_;
  IpAddress own_{};
  std::uint16_t zone_ = 0;
  Actions::Change change_ = Actions::Change::none;
  bool started_ = false;
};

}  // namespace mirage::net::dhcp6
