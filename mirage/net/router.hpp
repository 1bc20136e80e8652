// SPDX-License-Identifier: ISC
// A router between two networks, each with a stack of its own: what arrives for others goes through the forwarding
// plane (net/forward: stateful filter, NAT) and out on the other side; what is for the router itself goes up its stack
// on that side. Fragments are joined before the plane sees them (RFC 4787 REQ-14), under a bound.
#pragma once

#include <mirage/base/counters.hpp>
#include <mirage/net/forward/forwarder.hpp>
#include <mirage/net/ip/reassembly.hpp>
#include <mirage/net/stack.hpp>

namespace mirage::net {

struct RouterOptions {
  forward::ForwarderOptions forwarder{};
  ip::ReassemblyOptions reassembly{};
};

struct RouterCounters {
  std::uint64_t drop_egress = 0;      ///< refused on the next hop's side: no route, queue full, too large to be cut
  std::uint64_t drop_reassembly = 0;  ///< fragments that became no packet: inconsistent, a bound, or too late
  std::uint64_t reassembly_displaced = 0;  ///< unfinished packets that made room for others
};

/// What a router needs of the stack on one of its networks.
struct RouterPort {
  template <DhcpClients clients>
  RouterPort(BasicStack<1, clients>& stack) noexcept
      : ip(stack.ip()), tcp(stack.tcp()), udp(stack.udp()), hook(stack.hook()) {}
  ip::Ip& ip;
  tcp::Tcp& tcp;
  udp::Udp& udp;
  PacketHook*& hook;
};

class Router {
 public:
  /// Both stacks must outlive it.
  Router(Shard& shard, RouterPort inside, RouterPort outside, const RouterOptions& options = {}) noexcept;
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;
  ~Router();

  /// Begins to forward; the stacks have started. False when there is no memory.
  [[nodiscard]] bool start() noexcept;
  /// False when the external port or the inside endpoint is taken. Precondition: started.
  [[nodiscard]] bool add(const forward::PortForward& port_forward) noexcept { return forwarder_.add(port_forward); }
  [[nodiscard]] const forward::Forwarder& forwarder() const noexcept { return forwarder_; }
  [[nodiscard]] const RouterCounters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept;

 private:
  /// What a stack calls with each packet before it looks at it.
  struct Side final : PacketHook {
    Side(Router& router, RouterPort own, forward::Side which) noexcept : owner(router), port(own), side(which) {}
    bool take(LinkPacket& packet) noexcept override { return owner.input(*this, packet); }
    Router& owner;
    RouterPort port;
    forward::Side side;
  };
  struct Services final : forward::OwnPorts {
    explicit Services(RouterPort outside) noexcept : port(outside) {}
    bool uses(std::uint8_t protocol, Port number) noexcept override;
    RouterPort port;
  };
  struct ExpiryTimer : Timer {
    explicit ExpiryTimer(Router& router) noexcept;
    Router* owner;
  };
  bool input(Side& from, LinkPacket& packet) noexcept;
  [[nodiscard]] bool join(const Side& from, LinkPacket& packet, const wire::Ipv4View& view) noexcept;
  [[nodiscard]] bool put_together(LinkPacket& packet, wire::Ipv4Header header, SliceList&& payload) noexcept;
  void attach(const Side& side) noexcept;
  void expire() noexcept;
  void arm() noexcept;

  Shard& shard_;
  forward::Forwarder forwarder_;
  ip::Reassembly reassembly_;
  Side inside_;
  Side outside_;
  Services services_;
  ExpiryTimer timer_;
  Duration shortest_;  ///< life of a flow or a fragment
  RouterCounters counters_;
};

}  // namespace mirage::net
