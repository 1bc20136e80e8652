// SPDX-License-Identifier: ISC
#include <mirage/syslog/sender.hpp>

namespace mirage::syslog {

namespace {
constexpr Port default_port = 514;
}

std::optional<Destination> Destination::parse(std::string_view text) noexcept {
  Destination to;
  if (text.empty()) return to;
  constexpr std::string_view udp = "udp://";
  constexpr std::string_view tcp = "tcp://";
  to.by_tcp = text.starts_with(tcp);
  if (to.by_tcp || text.starts_with(udp)) text.remove_prefix(udp.size());
  const auto colon = text.find(':');
  const auto address = Ipv4Address::parse(text.substr(0, colon));
  to.endpoint.port = default_port;
  if (colon != std::string_view::npos) {
    const auto port = parse_unsigned<Port>(text.substr(colon + 1));
    if (!port || *port == 0) return std::nullopt;
    to.endpoint.port = *port;
  }
  if (!address || !address->is_unicast()) return std::nullopt;
  to.endpoint.address = *address;
  return to;
}

Batch take_batch(MessageQueue& queue, std::span<char> out) noexcept {
  Batch taken;
  while (!queue.empty()) {
    const std::size_t size = queue.front_size();
    const Text<8> prefix{"{} ", size};
    if (prefix.view().size() + size > out.size() - taken.bytes) break;
    std::ranges::copy(prefix.view(), out.begin() + static_cast<std::ptrdiff_t>(taken.bytes));
    taken.bytes += prefix.view().size();
    queue.pop(out.subspan(taken.bytes, size));
    taken.bytes += size;
    ++taken.messages;
  }
  return taken;
}

}  // namespace mirage::syslog
