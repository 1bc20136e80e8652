// SPDX-License-Identifier: ISC
// Module type Udp on sockets of the host.
#pragma once

#include <cstdint>

#include <mirage/base/counters.hpp>
#include <mirage/base/list.hpp>
#include <mirage/module/udp.hpp>
#include <mirage/target/unix/socket.hpp>

namespace mirage::target::posix {

class SocketUdp {
 public:
  struct Statistics {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t no_buffer = 0;  ///< received, but the pool was exhausted
    std::uint64_t refused = 0;    ///< to send, refused by the host (too long, no route ...)
  };

  /// Binds to `address`; unspecified: any.
  SocketUdp(Shard& shard, const IpAddress& address) noexcept
      : shard_(shard), address_(address), family_(usable_family()) {}
  SocketUdp(const SocketUdp&) = delete;
  SocketUdp& operator=(const SocketUdp&) = delete;
  ~SocketUdp();

  [[nodiscard]] Result<Port, UdpError> bind(Port port, DatagramHandler& handler) noexcept;
  /// May be called from the handler.
  void unbind(Port port) noexcept;
  /// From the bound port that a datagram names as its local one, else from a port that the host chooses.
  std::size_t send(std::span<Datagram> datagrams) noexcept;
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("socket_udp", counters_of(statistics_));
  }

 private:
  static constexpr std::size_t burst = 16;

  /// A bound port. Level-triggered: one burst per event, the rest in the next turn.
  struct Binding final : Watch, ListNode<> {
    Binding(SocketUdp& udp, int open, DatagramHandler& to) noexcept : owner(udp), descriptor(open), handler(to) {}
    Binding(const Binding&) = delete;
    Binding& operator=(const Binding&) = delete;
    ~Binding();
    void on_ready(std::uint32_t events) noexcept override;
    SocketUdp& owner;
    int descriptor;
    Port port = 0;
    DatagramHandler& handler;
  };
  enum class Outcome : std::uint8_t { done, no_room };

  [[nodiscard]] Binding* find(Port port) noexcept;
  [[nodiscard]] int sender(Port port) noexcept;
  [[nodiscard]] bool receive(Binding& binding, Datagram& datagram) noexcept;
  [[nodiscard]] Outcome transmit(Datagram& datagram) noexcept;

  Shard& shard_;
  IpAddress address_;
  int family_;
  int unbound_ = -1;
  List<Binding> bindings_;
  Statistics statistics_;
};

static_assert(Udp<SocketUdp>);

}  // namespace mirage::target::posix
