// SPDX-License-Identifier: ISC
// Stateless autoconfiguration without I/O: what router advertisements make of the tables of addresses and routes (RFC
// 4861 6.3.4, RFC 4862 5.5), stable opaque interface identifiers (RFC 7217), name servers and search list (RFC 8106).
// All of it is bounded: a link full of routers fills its share of the tables and no more.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <mirage/base/random.hpp>
#include <mirage/net/ip/address_table.hpp>
#include <mirage/net/ip/fair_place.hpp>
#include <mirage/net/ip/route.hpp>
#include <mirage/wire/ndp.hpp>

namespace mirage::net::ip {

/// What an interface's routers say beyond addresses and routes.
struct AdvertisedServer : Claim {
  IpAddress address;
};
struct AdvertisedDomain : Claim {
  static constexpr std::size_t longest = 80;
  std::array<char, longest> text{};
  std::uint8_t size = 0;
  [[nodiscard]] constexpr std::string_view name() const noexcept { return {text.data(), size}; }
};

class Autoconfiguration {
 public:
  static constexpr std::size_t maximum_addresses = 8;  ///< these are shared evenly among the interfaces
  static constexpr std::size_t maximum_routes = 16;
  static constexpr std::size_t maximum_servers = 4;
  static constexpr std::size_t maximum_domains = 3;
  struct Counters {
    std::uint64_t advertisements = 0;
    std::uint64_t refused_full = 0;    ///< addresses or routes beyond the bounds
    std::uint64_t refused_prefix = 0;  ///< contradictory lifetimes, or of no use
  };

  Autoconfiguration(AddressTable& addresses, RouteTable& routes) noexcept : addresses_(addresses), routes_(routes) {}

  /// How many interfaces share what there is; none takes another one's part.
  void share_among(std::uint16_t interfaces) noexcept { others_ = interfaces - 1U; }
  /// The interface's addresses are the same for as long as its secret is (RFC 7217 5).
  void set_secret(std::uint16_t interface, const SipKey& secret) noexcept { secrets_[interface] = secret; }
  /// The interface's address in a /64; another one for each attempt. Without the MAC address, which tenders often
  /// choose anew: whoever gives the same secret to two stations of a link leaves it to duplicate address detection.
  [[nodiscard]] IpAddress make_address(const IpPrefix& prefix, std::uint16_t interface,
                                       std::uint8_t attempt) const noexcept;
  /// Takes in an advertisement that was checked. New addresses are `fresh`.
  void receive(const wire::RouterAdvertisement& advertisement, const IpAddress& router, std::uint16_t interface,
               Time now) noexcept;
  /// RFC 4861 7.2.5: it said that it is no router any more. `but`: routes of this metric stay.
  void forget_router(const IpAddress& router, std::uint16_t interface, int but = -1) noexcept;

  /// DHCPv6 is offered there for addresses, or for other things (RFC 4861 4.2).
  [[nodiscard]] bool managed(std::uint16_t interface = 0) const noexcept { return managed_[interface]; }
  [[nodiscard]] bool other(std::uint16_t interface = 0) const noexcept { return other_[interface]; }
  /// Those that are past their time are for the caller to leave out.
  [[nodiscard]] const std::array<AdvertisedServer, maximum_servers>& servers() const noexcept { return servers_; }
  [[nodiscard]] const std::array<AdvertisedDomain, maximum_domains>& domains() const noexcept { return domains_; }
  /// When the next of them is past its time.
  [[nodiscard]] Time next_name_deadline(Time now) const noexcept;
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  void take_router(const wire::RouterAdvertisement& advertisement, const IpAddress& router, std::uint16_t interface,
                   Time now) noexcept;
  void take_prefix(const wire::PrefixInformation& prefix, std::uint16_t interface, Time now) noexcept;
  void take_on_link(const wire::PrefixInformation& prefix, std::uint16_t interface, Time now) noexcept;
  void take_autonomous(const wire::PrefixInformation& prefix, std::uint16_t interface, Time now) noexcept;
  void take_servers(Bytes option, std::uint16_t interface, Time now) noexcept;
  void take_domains(Bytes option, std::uint16_t interface, Time now) noexcept;
  void add_route(const Route& route) noexcept;

  AddressTable& addresses_;
  RouteTable& routes_;
  std::size_t others_ = 0;  ///< interfaces beyond one
  std::array<SipKey, maximum_interfaces> secrets_{};
  std::array<AdvertisedServer, maximum_servers> servers_{};
  std::array<AdvertisedDomain, maximum_domains> domains_{};
  std::array<bool, maximum_interfaces> managed_{};
  std::array<bool, maximum_interfaces> other_{};
  Counters counters_;
};

}  // namespace mirage::net::ip
