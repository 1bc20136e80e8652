// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/dhcp6/client.hpp>

namespace mirage::net::dhcp6 {

Client::~Client() {
  if (started_) udp_.unbind(wire::dhcpv6_client_port);
}

Result<void, UdpError> Client::start(Machine::Mode mode, const Identity& identity, const IpAddress& own,
                                     std::uint16_t zone) noexcept {
  if (!started_) MIRAGE_CHECK(udp_.bind(wire::dhcpv6_client_port, *this));
  started_ = true;
  own_ = own;
  zone_ = zone;
  perform(machine_.start(mode, identity, shard_.random(), shard_.now()));
  return {};
}

bool Client::has(const IpAddress& address) const noexcept {
  const Lease& lease = machine_.lease();
  return std::any_of(lease.addresses.begin(), lease.addresses.begin() + lease.count,
                     [&](const Lease::Address& own) { return own.address == address; });
}

void Client::on_burst(std::span<Datagram> datagrams) noexcept {
  for (const Datagram& datagram : datagrams) {
    // A reply fits into one packet, hence into one slice; RFC 8415 7.2: servers answer from their port.
    const bool whole = datagram.remote.port == wire::dhcpv6_server_port && datagram.payload.size() == 1;
    const auto message =
        whole ? wire::Dhcpv6Message::parse(datagram.payload[0].bytes(), machine_.association_id()) : std::nullopt;
    if (!message) {
      ++machine_.counters().drop_malformed;
      continue;
    }
    perform(machine_.receive(*message, shard_.now()));
  }
}

void Client::perform(const Actions& actions) noexcept {
  if (actions.change != Actions::Change::none) change_ = actions.change;
  if (actions.send) send(*actions.send);
  if (machine_.deadline() == never) {
    timer_.disarm();
  } else {
    timer_.arm(shard_.timers(), machine_.deadline());
  }
}

void Client::send(const wire::Dhcpv6Message& message) noexcept {
  MutableSlice payload = shard_.buffers().allocate(wire::Dhcpv6Message::maximum_size, 0);
  if (!payload) return;  // counted by the pool; the timer tries again
  const std::size_t size = message.emit(payload.grow_back(wire::Dhcpv6Message::maximum_size));
  payload.truncate(static_cast<std::uint32_t>(size));
  [[clang::uninitialized]] Datagram datagram;
  datagram.local = {own_, wire::dhcpv6_client_port, zone_};
  datagram.remote = {wire::dhcpv6_servers, wire::dhcpv6_server_port, zone_};
  (void)datagram.payload.push_back(std::move(payload).freeze());
  machine_.counters().sent += udp_.send({&datagram, 1});
}

}  // namespace mirage::net::dhcp6
