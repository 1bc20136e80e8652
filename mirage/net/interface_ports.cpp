// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/interface_ports.hpp>

namespace mirage::net {

bool InterfacePorts::is_bound(Port port) const noexcept {
  return std::ranges::any_of(places_, [port](const Place& place) { return place.handler && place.port == port; });
}

Result<Port, UdpError> InterfacePorts::bind(Port port, std::uint16_t interface, DatagramHandler& handler) noexcept {
  Place* free = nullptr;
  for (Place& place : places_) {
    if (place.handler == nullptr) free = &place;
    if (place.handler != nullptr && place.port == port && place.interface == interface) {
      return Failure{UdpError::port_in_use};
    }
  }
  if (free == nullptr) return Failure{UdpError::no_memory};
  if (!is_bound(port)) MIRAGE_CHECK(udp_.bind(port, *this));
  *free = {port, interface, &handler};
  return port;
}

void InterfacePorts::unbind(Port port, std::uint16_t interface) noexcept {
  for (Place& place : places_) {
    if (place.port == port && place.interface == interface) place = {};
  }
  if (!is_bound(port)) udp_.unbind(port);
}

/// By its zone; an address without one is on one interface.
std::uint16_t InterfacePorts::arrived_at(const Endpoint& local) const noexcept {
  const ip::Address* own = has_zone(local.address) ? nullptr : ip_.addresses().find(local.address);
  return own == nullptr ? local.zone : own->interface;
}

void InterfacePorts::on_burst(std::span<Datagram> datagrams) noexcept {
  for (Datagram& datagram : datagrams) {
    const std::uint16_t interface = arrived_at(datagram.local);
    for (const Place& place : places_) {
      const bool wanted = place.handler != nullptr && place.interface == interface && place.port == datagram.local.port;
      if (wanted) place.handler->on_burst({&datagram, 1});
    }
  }
}

}  // namespace mirage::net
