// SPDX-License-Identifier: ISC
// Module type Udp: datagrams, burst first.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include <mirage/base/address.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/result.hpp>
#include <mirage/base/text.hpp>

namespace mirage {

/// A datagram with both its ends. On send an unspecified local address lets the stack choose.
struct Datagram {
  Endpoint local;
  Endpoint remote;
  SliceList payload;
  std::uint8_t traffic_class = 0;  ///< DSCP and ECN (RFC 2474, 3168), as received or to be sent
};

enum class UdpError : std::uint8_t {
  port_in_use,
  too_long,  ///< more than 65507 bytes
  no_route,
  no_memory,
  queue_full,  ///< the bounded transmit queue or the wait for address resolution is full
  refused,     ///< nobody has that port there
  closed,      ///< by this side, or the waiting task was cancelled
};

[[nodiscard]] constexpr std::string_view to_string(UdpError error) noexcept {
  switch (error) {
    case UdpError::port_in_use:
      return "port in use";
    case UdpError::too_long:
      return "datagram too long";
    case UdpError::no_route:
      return "no route to host";
    case UdpError::no_memory:
      return "out of memory";
    case UdpError::queue_full:
      return "queue full";
    case UdpError::refused:
      return "port unreachable";
    case UdpError::closed:
      return "closed";
  }
  return "?";
}

inline void append_value(TextWriter& out, UdpError error) noexcept { out.append(to_string(error)); }

/// Receives the datagrams of one burst for one port; runs within input, so it must not block or resume a coroutine.
/// It may take the payloads.
class DatagramHandler {
 public:
  virtual void on_burst(std::span<Datagram> datagrams) noexcept = 0;
  /// What was sent from the port to `remote` (told without its zone) did not get there: refused, too_long for the path,
  /// else no_route. By ICMP, which anybody can forge who guesses both ports (RFC 5927): a hint. RFC 1122 4.1.3.3.
  /// False when nothing was sent there: then the path's MTU is not what the error says, either.
  virtual bool on_error(const Endpoint& /*remote*/, UdpError /*error*/) noexcept { return true; }

 protected:
  ~DatagramHandler() = default;
};

/// bind(): datagrams to `port` go to `handler` until unbind() (port 0: an ephemeral one is chosen and returned).
/// send(): how many of the datagrams were accepted, from the front; their payloads are moved from, the rest untouched.
template <class U>
concept Udp = requires(U& udp, Port port, DatagramHandler& handler, std::span<Datagram> datagrams) {
  { udp.bind(port, handler) } noexcept -> std::same_as<Result<Port, UdpError>>;
  { udp.unbind(port) } noexcept;
  { udp.send(datagrams) } noexcept -> std::same_as<std::size_t>;
};

/// A Udp that listens to multicast groups: join() on an interface (0: the first), as often as leave(); a datagram to
/// the group then goes to the handler of its port like any other one, with the group as its local address. Sending to a
/// group needs no membership; datagrams to groups stay on the link (TTL 1).
template <class U>
concept MulticastUdp = Udp<U> && requires(U& udp, const IpAddress& group, std::uint16_t interface) {
  { udp.join(group, interface) } noexcept -> std::same_as<Result<void, UdpError>>;
  { udp.leave(group, interface) } noexcept;
};

}  // namespace mirage
