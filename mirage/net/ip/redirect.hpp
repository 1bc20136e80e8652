// SPDX-License-Identifier: ISC
// Redirects: a router says that another one, or the destination itself, is the better first hop (RFC 1122 3.2.2.2, RFC
// 4861 8). They are ignored unless linked, because whoever is on the link and can send as the router draws traffic with
// them. What is taken becomes a route to one address that ends by itself, gives way when its router does not answer,
// and makes room for others.
#pragma once

#include <mirage/net/ip/ip.hpp>

namespace mirage::net::ip {

inline constexpr std::size_t maximum_redirects = 16;  ///< then the one that ends first makes room
inline constexpr Duration redirect_lifetime = 10min;  ///< RFC 4861 leaves it open; the router says it again

/// Takes an ICMP or ICMPv6 redirect whose checksum and hop limit were checked. False for one that is not believed.
[[nodiscard]] bool take_redirect(Ip& ip, const IpPacket& packet, Time now) noexcept;

/// For IpOptions::redirects: links their code, or not.
template <bool linked>
[[nodiscard]] constexpr RedirectFunction redirects() noexcept {
  if constexpr (linked) {
    return &take_redirect;
  } else {
    return nullptr;
  }
}

}  // namespace mirage::net::ip
