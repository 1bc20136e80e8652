// SPDX-License-Identifier: ISC
// DHCP for IPv6 as a client sees it: messages of RFC 8415 section 8, options of section 21, DNS servers and search list
// (RFC 3646). One identity association for addresses; of several the first one with our id counts. Relay messages,
// prefix delegation and authentication are not here.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include <mirage/base/address.hpp>
#include <mirage/wire/dhcpv4_network.hpp>

namespace mirage::wire {

enum class Dhcpv6Type : std::uint8_t {
  solicit = 1,
  advertise = 2,
  request = 3,
  confirm = 4,
  renew = 5,
  rebind = 6,
  reply = 7,
  release = 8,
  decline = 9,
  reconfigure = 10,
  information_request = 11
};

namespace dhcpv6_option {
inline constexpr std::uint16_t client_id = 1;
inline constexpr std::uint16_t server_id = 2;
inline constexpr std::uint16_t ia_na = 3;
inline constexpr std::uint16_t ia_address = 5;
inline constexpr std::uint16_t option_request = 6;
inline constexpr std::uint16_t preference = 7;
inline constexpr std::uint16_t elapsed_time = 8;
inline constexpr std::uint16_t status_code = 13;
inline constexpr std::uint16_t rapid_commit = 14;
inline constexpr std::uint16_t dns_servers = 23;
inline constexpr std::uint16_t domain_list = 24;
inline constexpr std::uint16_t information_refresh_time = 32;
inline constexpr std::uint16_t solicit_maximum = 82;      ///< SOL_MAX_RT
inline constexpr std::uint16_t information_maximum = 83;  ///< INF_MAX_RT
}  // namespace dhcpv6_option

/// RFC 8415 21.13.
enum class Dhcpv6Status : std::uint16_t {
  success = 0,
  unspecified_failure = 1,
  no_addresses = 2,
  no_binding = 3,
  not_on_link = 4,
  use_multicast = 5
};

inline constexpr std::uint16_t dhcpv6_client_port = 546;
inline constexpr std::uint16_t dhcpv6_server_port = 547;
/// ff02::1:2, All_DHCP_Relay_Agents_and_Servers.
inline constexpr IpAddress dhcpv6_servers = IpAddress::of(0xff02'0000'0000'0000, 0x0001'0002);

/// A DHCP unique identifier (RFC 8415 11): opaque, compared as it is.
struct Dhcpv6Id {
  static constexpr std::size_t maximum = 130;
  std::array<std::uint8_t, maximum> octets{};
  std::uint8_t size = 0;
  constexpr bool operator==(const Dhcpv6Id& other) const noexcept { return std::ranges::equal(bytes(), other.bytes()); }
  [[nodiscard]] constexpr std::span<const std::uint8_t> bytes() const noexcept { return {octets.data(), size}; }
  /// DUID-LL (11.4) of an Ethernet interface: what a host without storage has.
  [[nodiscard]] static constexpr Dhcpv6Id of_link(const MacAddress& mac) noexcept {
    Dhcpv6Id id;
    id.octets = {0, 3, 0, 1};
    std::ranges::copy(mac.octets, id.octets.begin() + 4);
    id.size = 10;
    return id;
  }
  [[nodiscard]] static constexpr std::optional<Dhcpv6Id> parse(Bytes value) noexcept {
    if (value.size() < 3 || value.size() > maximum) return std::nullopt;
    Dhcpv6Id id;
    for (const std::byte octet : value) id.octets[id.size++] = std::to_integer<std::uint8_t>(octet);
    return id;
  }
};

/// An address of an association; lifetimes in seconds, 0xffffffff for ever.
struct Dhcpv6Address {
  IpAddress address;
  std::uint32_t preferred = 0;
  std::uint32_t valid = 0;
  constexpr bool operator==(const Dhcpv6Address&) const = default;
};

/// IA_NA (21.4).
struct Dhcpv6Association {
  static constexpr std::size_t maximum = 4;
  std::uint32_t id = 0;
  std::uint32_t t1 = 0;  ///< seconds; 0: the client's choice
  std::uint32_t t2 = 0;
  std::array<Dhcpv6Address, maximum> addresses{};
  std::uint8_t count = 0;
  Dhcpv6Status status = Dhcpv6Status::success;
  constexpr bool operator==(const Dhcpv6Association&) const = default;
};

/// Options of a message or of an option, one after the other.
class Dhcpv6Options {
 public:
  struct Option {
    std::uint16_t code = 0;
    Bytes value;
  };
  constexpr explicit Dhcpv6Options(Bytes bytes) noexcept : left_(bytes) {}
  /// Nothing at the end, or where an option is cut off: then malformed() is true.
  [[nodiscard]] constexpr std::optional<Option> next() noexcept {
    if (left_.size() < 4) return std::nullopt;
    const std::size_t length = load_big<std::uint16_t>(left_, 2);
    if (length > left_.size() - 4) return std::nullopt;
    const Option option{load_big<std::uint16_t>(left_, 0), left_.subspan(4, length)};
    left_ = left_.subspan(4 + length);
    return option;
  }
  [[nodiscard]] constexpr bool malformed() const noexcept { return !left_.empty(); }

 private:
  Bytes left_;
};

/// What a client needs to know of a server's message, and what it sends.
struct Dhcpv6Message {
  static constexpr std::size_t maximum_size = 512;  ///< of what we send
  static constexpr std::size_t maximum_servers = 4;
  Dhcpv6Type type = Dhcpv6Type::solicit;
  std::uint32_t transaction = 0;  ///< 24 bits
  std::optional<Dhcpv6Id> client;
  std::optional<Dhcpv6Id> server;
  std::optional<Dhcpv6Association> association;
  std::optional<std::uint16_t> elapsed;  ///< hundredths of a second
  Dhcpv6Status status = Dhcpv6Status::success;
  std::uint8_t preference = 0;
  bool rapid_commit = false;
  std::array<IpAddress, maximum_servers> name_servers{};
  std::uint8_t name_server_count = 0;
  DhcpSearch search;
  std::optional<std::uint32_t> refresh;              ///< seconds
  std::optional<std::uint32_t> solicit_maximum;      ///< seconds
  std::optional<std::uint32_t> information_maximum;  ///< seconds

  /// Nothing when the message is malformed. Of associations that with the id `association_id` is taken.
  [[nodiscard]] static constexpr std::optional<Dhcpv6Message> parse(Bytes bytes, std::uint32_t association_id) noexcept;
  /// A client's message: bytes written. Precondition: `out` has maximum_size.
  [[nodiscard]] constexpr std::size_t emit(MutableBytes out) const noexcept;

 private:
  [[nodiscard]] constexpr bool take(const Dhcpv6Options::Option& option, std::uint32_t association_id) noexcept;
  [[nodiscard]] constexpr bool take_association(Bytes value, std::uint32_t id) noexcept;
  constexpr void take_servers(Bytes value) noexcept;
};

namespace detail {
constexpr IpAddress load_ip(Bytes bytes, std::size_t at) noexcept {
  return IpAddress::of(load_big<std::uint64_t>(bytes, at), load_big<std::uint64_t>(bytes, at + 8));
}

/// 21.13: a code and text, which is for people.
constexpr std::optional<Dhcpv6Status> dhcpv6_status(Bytes value) noexcept {
  if (value.size() < 2) return std::nullopt;
  return static_cast<Dhcpv6Status>(load_big<std::uint16_t>(value, 0));
}

template <std::unsigned_integral T>
constexpr bool take_number(Bytes value, std::optional<T>& into) noexcept {
  if (value.size() != sizeof(T)) return false;
  into = load_big<T>(value, 0);
  return true;
}

class Dhcpv6Writer {
 public:
  constexpr explicit Dhcpv6Writer(MutableBytes out) noexcept : out_(out) {}
  template <std::unsigned_integral T>
  constexpr void number(T value) noexcept {
    store_big(out_, at_, value);
    at_ += sizeof(T);
  }
  constexpr void option(std::uint16_t code, std::size_t length) noexcept {
    number(code);
    number(static_cast<std::uint16_t>(length));
  }
  constexpr void id(std::uint16_t code, const Dhcpv6Id& value) noexcept {
    option(code, value.size);
    for (const std::uint8_t octet : value.bytes()) number(octet);
  }
  constexpr void association(const Dhcpv6Association& value) noexcept {
    constexpr std::size_t address_size = 24;
    option(dhcpv6_option::ia_na, 12 + value.count * (4 + address_size));
    number(value.id);
    number(value.t1);
    number(value.t2);
    for (std::size_t i = 0; i < value.count; ++i) {
      option(dhcpv6_option::ia_address, address_size);
      for (const std::uint8_t octet : value.addresses[i].address.octets) number(octet);
      number(value.addresses[i].preferred);
      number(value.addresses[i].valid);
    }
  }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return at_; }

 private:
  MutableBytes out_;
  std::size_t at_ = 0;
};
}  // namespace detail

constexpr bool Dhcpv6Message::take_association(Bytes value, std::uint32_t id) noexcept {
  if (value.size() < 12) return false;
  Dhcpv6Association found{.id = load_big<std::uint32_t>(value, 0),
                          .t1 = load_big<std::uint32_t>(value, 4),
                          .t2 = load_big<std::uint32_t>(value, 8)};
  if (found.id != id || association) return true;
  Dhcpv6Options options{value.subspan(12)};
  while (const auto option = options.next()) {
    if (option->code == dhcpv6_option::status_code) {
      const auto code = detail::dhcpv6_status(option->value);
      if (!code) return false;
      found.status = *code;
    }
    if (option->code != dhcpv6_option::ia_address) continue;
    if (option->value.size() < 24) return false;
    const Dhcpv6Address address{detail::load_ip(option->value, 0), load_big<std::uint32_t>(option->value, 16),
                                load_big<std::uint32_t>(option->value, 20)};
    if (found.count < Dhcpv6Association::maximum) found.addresses[found.count++] = address;
  }
  if (options.malformed()) return false;
  // 21.4: an association with T1 behind T2 is treated as if it were not there.
  if (found.t1 <= found.t2 || found.t2 == 0) association = found;
  return true;
}

constexpr void Dhcpv6Message::take_servers(Bytes value) noexcept {
  for (std::size_t at = 0; at + 16 <= value.size() && name_server_count < maximum_servers; at += 16) {
    name_servers[name_server_count++] = detail::load_ip(value, at);
  }
}

constexpr bool Dhcpv6Message::take(const Dhcpv6Options::Option& option, std::uint32_t association_id) noexcept {
  const Bytes value = option.value;
  switch (option.code) {
    case dhcpv6_option::client_id:
      client = Dhcpv6Id::parse(value);
      return client.has_value();
    case dhcpv6_option::server_id:
      server = Dhcpv6Id::parse(value);
      return server.has_value();
    case dhcpv6_option::ia_na:
      return take_association(value, association_id);
    case dhcpv6_option::preference:
      if (value.size() == 1) preference = load_big<std::uint8_t>(value, 0);
      return value.size() == 1;
    case dhcpv6_option::elapsed_time:
      return detail::take_number(value, elapsed);
    case dhcpv6_option::status_code: {
      const auto code = detail::dhcpv6_status(value);
      status = code.value_or(Dhcpv6Status::success);
      return code.has_value();
    }
    case dhcpv6_option::rapid_commit:
      rapid_commit = true;
      return true;
    case dhcpv6_option::dns_servers:
      take_servers(value);
      return value.size() % 16 == 0;
    case dhcpv6_option::domain_list:
      search.add_list(value);  // RFC 3646 4: names without compression
      return true;
    case dhcpv6_option::information_refresh_time:
      return detail::take_number(value, refresh);
    case dhcpv6_option::solicit_maximum:
      return detail::take_number(value, solicit_maximum);
    case dhcpv6_option::information_maximum:
      return detail::take_number(value, information_maximum);
    default:
      return true;
  }
}

constexpr std::optional<Dhcpv6Message> Dhcpv6Message::parse(Bytes bytes, std::uint32_t association_id) noexcept {
  if (bytes.size() < 4) return std::nullopt;
  const auto first = load_big<std::uint32_t>(bytes, 0);
  const auto kind = static_cast<std::uint8_t>(first >> 24);
  if (kind < 1 || kind > 11) return std::nullopt;
  Dhcpv6Message message;
  message.type = static_cast<Dhcpv6Type>(kind);
  message.transaction = first & 0xffffff;
  Dhcpv6Options options{bytes.subspan(4)};
  while (const auto option = options.next()) {
    if (!message.take(*option, association_id)) return std::nullopt;
  }
  if (options.malformed()) return std::nullopt;
  return message;
}

constexpr std::size_t Dhcpv6Message::emit(MutableBytes out) const noexcept {
  detail::Dhcpv6Writer writer{out};
  writer.number(static_cast<std::uint32_t>(static_cast<std::uint32_t>(type) << 24 | transaction));
  if (client) writer.id(dhcpv6_option::client_id, *client);
  if (server) writer.id(dhcpv6_option::server_id, *server);
  if (association) writer.association(*association);
  if (elapsed) {
    writer.option(dhcpv6_option::elapsed_time, 2);
    writer.number(*elapsed);
  }
  if (rapid_commit) writer.option(dhcpv6_option::rapid_commit, 0);
  if (type == Dhcpv6Type::decline || type == Dhcpv6Type::release) return writer.size();
  // 21.7: what we would like to know. SOL_MAX_RT and INF_MAX_RT must be asked for (18.2.1, 18.2.6).
  writer.option(dhcpv6_option::option_request, type == Dhcpv6Type::information_request ? 8 : 6);
  writer.number(dhcpv6_option::dns_servers);
  writer.number(dhcpv6_option::domain_list);
  if (type == Dhcpv6Type::information_request) {
    writer.number(dhcpv6_option::information_refresh_time);
    writer.number(dhcpv6_option::information_maximum);
  } else {
    writer.number(dhcpv6_option::solicit_maximum);
  }
  return writer.size();
}

}  // namespace mirage::wire
