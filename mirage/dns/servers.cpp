// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/base/text.hpp>
#include <mirage/dns/servers.hpp>
#include <mirage/wire/dns.hpp>

namespace mirage::dns {

namespace {

std::optional<Endpoint> parse_server(std::string_view text) noexcept {
  // A colon is the port's only behind brackets or an IPv4 address.
  Port port = wire::dns_port;
  const bool brackets = text.starts_with('[');
  const auto colon = text.rfind(':');
  if (colon != std::string_view::npos && (brackets ? text[colon - 1] == ']' : text.find(':') == colon)) {
    const auto number = parse_unsigned<Port>(text.substr(colon + 1));
    if (!number || *number == 0) return std::nullopt;
    port = *number;
    text = text.substr(0, colon);
  }
  if (brackets) {
    if (!text.ends_with(']')) return std::nullopt;
    text = text.substr(1, text.size() - 2);
  }
  const auto address = IpAddress::parse(text);
  if (!address || address->is_unspecified() || (brackets && address->is_v4())) return std::nullopt;
  return Endpoint{*address, port, 0};
}

}  // namespace

std::optional<ServerList> ServerList::parse(std::string_view text) noexcept {
  ServerList list;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto server = parse_server(text.substr(0, comma));
    if (!server || list.count == list.items.size()) return std::nullopt;
    list.items[list.count++] = *server;
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return std::nullopt;
  }
  return list;
}

ServerList ServerList::of(const NameService& network) noexcept {
  ServerList list;
  for (const IpAddress& address : network.servers()) list.items[list.count++] = {address, wire::dns_port, 0};
  return list;
}

ServerOrder::Order ServerOrder::order(std::uint8_t count, Time now) const noexcept {
  Order order{};
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint8_t>(i);
  const auto end = order.begin() + count;
  // At most four: insertion keeps the order of equals, and needs no memory.
  for (auto i = order.begin(); i != end; ++i) {
    const auto avoided = [&](std::uint8_t server) { return avoid_until_[server] > now; };
    if (!avoided(*i)) std::rotate(std::find_if(order.begin(), i, avoided), i, i + 1);
  }
  return order;
}

}  // namespace mirage::dns
