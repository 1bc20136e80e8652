// SPDX-License-Identifier: ISC
// UDP ports that every interface has for itself: several DHCP clients, one for each interface, on one port number.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/net/ip/ip.hpp>
#include <mirage/net/udp/udp.hpp>

namespace mirage::net {

/// Hands datagrams to whoever has bound their port on the interface where they came in.
class InterfacePorts final : public DatagramHandler {
 public:
  /// Both must outlive it.
  InterfacePorts(udp::Udp& udp, const ip::Ip& ip) noexcept : udp_(udp), ip_(ip) {}
  InterfacePorts(const InterfacePorts&) = delete;
  InterfacePorts& operator=(const InterfacePorts&) = delete;

  /// As Udp's; a port must be bound to a number. `no_memory` at the bound, which two ports on every interface keep.
  [[nodiscard]] Result<Port, UdpError> bind(Port port, std::uint16_t interface, DatagramHandler& handler) noexcept;
  void unbind(Port port, std::uint16_t interface) noexcept;
  [[nodiscard]] udp::Udp& udp() const noexcept { return udp_; }

  void on_burst(std::span<Datagram> datagrams) noexcept override;

 private:
  struct Place {
    Port port = 0;
    std::uint16_t interface = 0;
    DatagramHandler* handler = nullptr;  ///< null: free
  };
  [[nodiscard]] bool is_bound(Port port) const noexcept;
  [[nodiscard]] std::uint16_t arrived_at(const Endpoint& local) const noexcept;
  udp::Udp& udp_;
  const ip::Ip& ip_;
  std::array<Place, 2 * ip::maximum_interfaces> places_{};
};

/// The Udp of one interface.
class InterfaceUdp {
 public:
  InterfaceUdp(InterfacePorts& ports, std::uint16_t interface) noexcept : ports_(&ports), interface_(interface) {}
  [[nodiscard]] Result<Port, UdpError> bind(Port port, DatagramHandler& handler) noexcept {
    return ports_->bind(port, interface_, handler);
  }
  void unbind(Port port) noexcept { ports_->unbind(port, interface_); }
  std::size_t send(std::span<Datagram> datagrams) noexcept {
    for (Datagram& datagram : datagrams) datagram.remote.zone = interface_;
    return ports_->udp().send(datagrams);
  }

 private:
  InterfacePorts* ports_;
  std::uint16_t interface_;
};

static_assert(mirage::Udp<InterfaceUdp>);

}  // namespace mirage::net
