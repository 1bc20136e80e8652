// SPDX-License-Identifier: ISC
// DHCP for IPv4: message format of RFC 2131 section 2, options of RFC 2132. Option 52 (overload) is read, never
// written. Options that may be long (routes, search domains) are joined when they occur several times (RFC 3396); of
// the others the first one counts. No relay or authentication options.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/wire/dhcpv4_network.hpp>
#include <mirage/wire/ethernet.hpp>

namespace mirage::wire {

enum class DhcpType : std::uint8_t {
  discover = 1,
  offer = 2,
  request = 3,
  decline = 4,
  ack = 5,
  nak = 6,
  release = 7,
  inform = 8
};

namespace dhcp_option {
inline constexpr std::uint8_t pad = 0;
inline constexpr std::uint8_t subnet_mask = 1;
inline constexpr std::uint8_t router = 3;
inline constexpr std::uint8_t domain_name_server = 6;
inline constexpr std::uint8_t host_name = 12;
inline constexpr std::uint8_t domain_name = 15;
inline constexpr std::uint8_t interface_mtu = 26;
inline constexpr std::uint8_t requested_address = 50;
inline constexpr std::uint8_t lease_time = 51;
inline constexpr std::uint8_t overload = 52;
inline constexpr std::uint8_t message_type = 53;
inline constexpr std::uint8_t server_identifier = 54;
inline constexpr std::uint8_t parameter_list = 55;
inline constexpr std::uint8_t maximum_message_size = 57;
inline constexpr std::uint8_t renewal_time = 58;
inline constexpr std::uint8_t rebinding_time = 59;
inline constexpr std::uint8_t client_identifier = 61;
inline constexpr std::uint8_t domain_search = 119;
inline constexpr std::uint8_t classless_routes = 121;
inline constexpr std::uint8_t end = 255;
}  // namespace dhcp_option

/// Offsets of the fixed part.
namespace dhcp_at {
inline constexpr std::size_t operation = 0;
inline constexpr std::size_t hardware_type = 1;
inline constexpr std::size_t hardware_length = 2;
inline constexpr std::size_t hops = 3;
inline constexpr std::size_t transaction = 4;
inline constexpr std::size_t seconds = 8;
inline constexpr std::size_t flags = 10;
inline constexpr std::size_t client_address = 12;
inline constexpr std::size_t your_address = 16;
inline constexpr std::size_t server_address = 20;
inline constexpr std::size_t relay_address = 24;
inline constexpr std::size_t client_mac = 28;
inline constexpr std::size_t server_name = 44;
inline constexpr std::size_t file = 108;
inline constexpr std::size_t cookie = 236;
inline constexpr std::size_t options = 240;
}  // namespace dhcp_at

inline constexpr std::uint16_t dhcp_server_port = 67;
inline constexpr std::uint16_t dhcp_client_port = 68;

/// A message whose fixed part is there and whose options are well formed as far as find() looks.
class DhcpView {
 public:
  static constexpr std::uint32_t magic = 0x63825363;  // RFC 2131 3

  [[nodiscard]] static constexpr std::optional<DhcpView> parse(Bytes message) noexcept {
    if (message.size() < dhcp_at::options) return std::nullopt;
    if (load_big<std::uint32_t>(message, dhcp_at::cookie) != magic) return std::nullopt;
    if (load_big<std::uint8_t>(message, dhcp_at::hardware_type) != 1 ||
        load_big<std::uint8_t>(message, dhcp_at::hardware_length) != 6) {
      return std::nullopt;
    }
    return DhcpView{message};
  }
  [[nodiscard]] constexpr bool is_reply() const noexcept {
    return load_big<std::uint8_t>(message_, dhcp_at::operation) == 2;
  }
  [[nodiscard]] constexpr std::uint32_t transaction() const noexcept {
    return load_big<std::uint32_t>(message_, dhcp_at::transaction);
  }
  [[nodiscard]] constexpr Ipv4Address address(std::size_t at) const noexcept {
    return {load_big<std::uint32_t>(message_, at)};
  }
  [[nodiscard]] constexpr MacAddress client_mac() const noexcept { return load_mac(message_, dhcp_at::client_mac); }

  /// The value of an option; nothing when it is absent or lies behind a malformed one. Looks into the file and server
  /// name fields too when option 52 says so (RFC 2131 4.1).
  [[nodiscard]] constexpr std::optional<Bytes> find(std::uint8_t option) const noexcept {
    const Bytes options = message_.subspan(dhcp_at::options);
    if (const auto value = find_in(options, option)) return value;
    const auto overload = find_in(options, dhcp_option::overload);
    const unsigned fields = overload && overload->size() == 1 ? std::to_integer<unsigned>((*overload)[0]) : 0;
    if ((fields & 1) != 0) {
      if (const auto value = find_in(message_.subspan(dhcp_at::file, 128), option)) return value;
    }
    if ((fields & 2) != 0) return find_in(message_.subspan(dhcp_at::server_name, 64), option);
    return std::nullopt;
  }
  /// The values of all occurrences of an option, one behind the other (RFC 3396 7); what does not fit is left out.
  [[nodiscard]] constexpr Bytes find_joined(std::uint8_t option, MutableBytes memory) const noexcept {
    std::size_t size = 0;
    for (Bytes options = message_.subspan(dhcp_at::options);;) {
      const auto value = find_in(options, option);
      if (!value || value->size() > memory.size() - size) return memory.first(size);
      for (const std::byte octet : *value) memory[size++] = octet;
      options = options.subspan(static_cast<std::size_t>(value->data() + value->size() - options.data()));
    }
  }
  template <std::unsigned_integral T>
  [[nodiscard]] constexpr std::optional<T> find_number(std::uint8_t option) const noexcept {
    const auto value = find(option);
    if (!value || value->size() != sizeof(T)) return std::nullopt;
    return load_big<T>(*value, 0);
  }
  [[nodiscard]] constexpr std::optional<DhcpType> type() const noexcept {
    const auto number = find_number<std::uint8_t>(dhcp_option::message_type);
    if (!number || *number < 1 || *number > 8) return std::nullopt;
    return static_cast<DhcpType>(*number);
  }

 private:
  constexpr explicit DhcpView(Bytes message) noexcept : message_(message) {}
  [[nodiscard]] static constexpr std::optional<Bytes> find_in(Bytes options, std::uint8_t wanted) noexcept {
    std::size_t at = 0;
    while (at < options.size()) {
      const auto code = load_big<std::uint8_t>(options, at);
      if (code == dhcp_option::end) return std::nullopt;
      if (code == dhcp_option::pad) {
        ++at;
        continue;
      }
      if (at + 1 >= options.size()) return std::nullopt;
      const std::size_t length = load_big<std::uint8_t>(options, at + 1);
      if (length > options.size() - at - 2) return std::nullopt;
      if (code == wanted) return options.subspan(at + 2, length);
      at += 2 + length;
    }
    return std::nullopt;
  }
  Bytes message_;
};

/// Up to N addresses of an option that lists them.
template <std::size_t N>
struct AddressList {
  std::array<Ipv4Address, N> items{};
  std::uint8_t count = 0;
  constexpr bool operator==(const AddressList&) const = default;

  [[nodiscard]] static constexpr AddressList parse(std::optional<Bytes> value) noexcept {
    AddressList list;
    if (!value) return list;
    for (std::size_t at = 0; at + 4 <= value->size() && list.count < N; at += 4) {
      list.items[list.count++] = Ipv4Address{load_big<std::uint32_t>(*value, at)};
    }
    return list;
  }
};

/// The length of a contiguous netmask; nothing for one with holes (RFC 950, RFC 1122 3.2.1.3).
[[nodiscard]] constexpr std::optional<std::uint8_t> mask_length(std::uint32_t mask) noexcept {
  const auto length = static_cast<std::uint8_t>(mask == 0 ? 0 : 32 - __builtin_ctz(mask));
  const std::uint32_t expected = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  if (mask != expected) return std::nullopt;
  return length;
}

/// What a client needs to know of a server's message, and what it sends. Absent options are unset.
struct DhcpMessage {
  DhcpType type = DhcpType::discover;
  bool is_reply = false;
  std::uint32_t transaction = 0;
  std::uint16_t seconds = 0;
  bool broadcast = false;
  Ipv4Address client_address;
  Ipv4Address your_address;
  MacAddress client_mac;
  std::optional<Ipv4Address> requested_address;
  std::optional<Ipv4Address> server;
  std::optional<std::uint32_t> lease_time;  ///< seconds, like the following two
  std::optional<std::uint32_t> renewal_time;
  std::optional<std::uint32_t> rebinding_time;
  std::optional<std::uint32_t> subnet_mask;
  std::optional<std::uint16_t> interface_mtu;
  AddressList<4> routers;
  AddressList<4> name_servers;
  DhcpRoutes routes;           ///< read, not written
  DhcpSearch search;           ///< the same
  std::string_view host_name;  ///< refers to the message or the caller's text

  /// Nothing when the message is malformed or has no type.
  [[nodiscard]] static constexpr std::optional<DhcpMessage> parse(Bytes bytes) noexcept;
  /// A client's message: bytes written, 0 when `out` is too small. Pads to the 300 bytes that BOOTP relays expect.
  [[nodiscard]] constexpr std::size_t emit(MutableBytes out) const noexcept;
};

inline constexpr std::size_t dhcp_minimum_size = 300;
inline constexpr std::size_t dhcp_maximum_size = 548;

namespace detail {
/// Appends options; remembers when they do not fit.
class DhcpWriter {
 public:
  constexpr explicit DhcpWriter(MutableBytes out) noexcept : out_(out) {}
  template <std::unsigned_integral T>
  constexpr void number(std::uint8_t option, T value) noexcept {
    if (!reserve(option, sizeof(T))) return;
    store_big(out_, at_, value);
    at_ += sizeof(T);
  }
  constexpr void octets(std::uint8_t option, std::span<const std::uint8_t> value) noexcept {
    if (!reserve(option, value.size())) return;
    for (const auto octet : value) out_[at_++] = std::byte{octet};
  }
  constexpr void text(std::uint8_t option, std::string_view value) noexcept {
    if (value.empty() || !reserve(option, value.size())) return;
    for (const char c : value) out_[at_++] = static_cast<std::byte>(c);
  }
  constexpr std::size_t finish(std::size_t minimum) noexcept {
    if (at_ == out_.size()) ok_ = false;
    if (!ok_) return 0;
    out_[at_++] = std::byte{dhcp_option::end};
    while (at_ < minimum && at_ < out_.size()) out_[at_++] = std::byte{0};
    return at_;
  }
  constexpr void skip(std::size_t count) noexcept { at_ += count; }

 private:
  constexpr bool reserve(std::uint8_t option, std::size_t length) noexcept {
    ok_ = ok_ && length <= 255 && out_.size() - at_ >= length + 2;
    if (!ok_) return false;
    out_[at_++] = std::byte{option};
    out_[at_++] = static_cast<std::byte>(length);
    return true;
  }
  MutableBytes out_;
  std::size_t at_ = 0;
  bool ok_ = true;
};
}  // namespace detail

constexpr std::optional<DhcpMessage> DhcpMessage::parse(Bytes bytes) noexcept {
  std::optional<DhcpMessage> result;
  const auto view = DhcpView::parse(bytes);
  const auto type = view ? view->type() : std::nullopt;
  if (!type) return result;
  const auto as_address = [](std::optional<std::uint32_t> number) -> std::optional<Ipv4Address> {
    if (!number) return std::nullopt;
    return Ipv4Address{*number};
  };
  DhcpMessage& message = result.emplace();
  message.type = *type;
  message.is_reply = view->is_reply();
  message.transaction = view->transaction();
  message.seconds = load_big<std::uint16_t>(bytes, dhcp_at::seconds);
  message.broadcast = (load_big<std::uint16_t>(bytes, dhcp_at::flags) & 0x8000) != 0;
  message.client_address = view->address(dhcp_at::client_address);
  message.your_address = view->address(dhcp_at::your_address);
  message.client_mac = view->client_mac();
  message.requested_address = as_address(view->find_number<std::uint32_t>(dhcp_option::requested_address));
  message.server = as_address(view->find_number<std::uint32_t>(dhcp_option::server_identifier));
  message.lease_time = view->find_number<std::uint32_t>(dhcp_option::lease_time);
  message.renewal_time = view->find_number<std::uint32_t>(dhcp_option::renewal_time);
  message.rebinding_time = view->find_number<std::uint32_t>(dhcp_option::rebinding_time);
  message.subnet_mask = view->find_number<std::uint32_t>(dhcp_option::subnet_mask);
  message.interface_mtu = view->find_number<std::uint16_t>(dhcp_option::interface_mtu);
  message.routers = AddressList<4>::parse(view->find(dhcp_option::router));
  message.name_servers = AddressList<4>::parse(view->find(dhcp_option::domain_name_server));
  std::array<std::byte, 256> memory{};
  message.routes = DhcpRoutes::parse(view->find_joined(dhcp_option::classless_routes, memory));
  std::array<std::byte, 512> list{};
  message.search =
      DhcpSearch::parse(view->find_joined(dhcp_option::domain_search, list), view->find(dhcp_option::domain_name));
  return result;
}

constexpr std::size_t DhcpMessage::emit(MutableBytes out) const noexcept {
  if (out.size() < dhcp_at::options) return 0;
  for (std::byte& byte : out) byte = std::byte{0};
  store_big(out, dhcp_at::operation, static_cast<std::uint8_t>(is_reply ? 2 : 1));
  store_big(out, dhcp_at::hardware_type, std::uint8_t{1});
  store_big(out, dhcp_at::hardware_length, std::uint8_t{6});
  store_big(out, dhcp_at::transaction, transaction);
  store_big(out, dhcp_at::seconds, seconds);
  store_big(out, dhcp_at::flags, static_cast<std::uint16_t>(broadcast ? 0x8000 : 0));
  store_big(out, dhcp_at::client_address, client_address.value);
  store_big(out, dhcp_at::your_address, your_address.value);
  store_mac(out, dhcp_at::client_mac, client_mac);
  store_big(out, dhcp_at::cookie, DhcpView::magic);

  detail::DhcpWriter writer{out};
  writer.skip(dhcp_at::options);
  writer.number(dhcp_option::message_type, static_cast<std::uint8_t>(type));
  const auto number = [&writer](std::uint8_t option, const auto& value) {
    if (value) writer.number(option, *value);
  };
  if (requested_address) writer.number(dhcp_option::requested_address, requested_address->value);
  if (server) writer.number(dhcp_option::server_identifier, server->value);
  number(dhcp_option::lease_time, lease_time);
  number(dhcp_option::renewal_time, renewal_time);
  number(dhcp_option::rebinding_time, rebinding_time);
  number(dhcp_option::subnet_mask, subnet_mask);
  number(dhcp_option::interface_mtu, interface_mtu);
  if (routers.count > 0) writer.number(dhcp_option::router, routers.items[0].value);
  if (name_servers.count > 0) writer.number(dhcp_option::domain_name_server, name_servers.items[0].value);
  writer.text(dhcp_option::host_name, host_name);
  if (!is_reply && (type == DhcpType::discover || type == DhcpType::request)) {
    // RFC 2131 4.4.1: the same parameters in every DISCOVER and REQUEST.
    // RFC 3442: the classless routes before the routers, which they replace.
    constexpr std::array<std::uint8_t, 9> wanted{
        dhcp_option::subnet_mask,        dhcp_option::classless_routes, dhcp_option::router,
        dhcp_option::domain_name_server, dhcp_option::domain_name,      dhcp_option::domain_search,
        dhcp_option::interface_mtu,      dhcp_option::renewal_time,     dhcp_option::rebinding_time};
    writer.octets(dhcp_option::parameter_list, wanted);
    writer.number(dhcp_option::maximum_message_size, std::uint16_t{576});
  }
  return writer.finish(dhcp_minimum_size);
}

}  // namespace mirage::wire
