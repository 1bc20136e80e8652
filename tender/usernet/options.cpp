// SPDX-License-Identifier: ISC
#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>

#include <mirage/base/text.hpp>
#include <tender/usernet/options.hpp>

namespace mirage::usernet {

using tender::fail;
using tender::Quoted;

const char* const help_text =
    "Usage: mirage-usernet --fd=N [OPTION]...\n"
    "A network for one guest without privileges: Ethernet frames on a pair of sockets become sockets of this machine.\n"
    "\n"
    "  --fd=N            our end of the pair (AF_UNIX, SOCK_SEQPACKET or SOCK_DGRAM; one frame per message)\n"
    "  --forward=tcp|udp:[ADDRESS]:PORT[+]:GUESTPORT\n"
    "                    lead a port of this machine to the guest (ADDRESS: 127.0.0.1 unless given); repeatable\n"
    "                    PORT+: the first from there on that is free\n"
    "  --mtu=N           largest IP packet towards the guest, 576 to 65521 (1500)\n"
    "  --network=PREFIX  the guest's network (10.0.2.0/24)\n"
    "  --host=ADDRESS    gateway and DHCP server (.2)     --guest=ADDRESS  what DHCP gives the guest (.15)\n"
    "  --dns=ADDRESS     where the guest finds this machine's name server (.3)\n"
    "  --restrict        only forwards: the guest opens no connections to the outside\n"
    "  --host-loopback   let the guest reach 127.0.0.1 of this machine at the gateway's address\n"
    "  --ready-fd=N      write a line there when all is set up: the ports of this machine, in the order of --forward\n"
    "  --statistics      print counters at the end\n"
    "  --help, --version\n"
    "\n"
    "Ends with status 0 when the other end of the pair is closed; 1: an error; 2: wrong usage.\n";

namespace {

Result<> parse_descriptor(std::string_view text, int& out) {
  const auto number = parse_unsigned<std::uint16_t>(text);
  if (!number || *number <= 2) {
    return fail("a descriptor is a number above 2, not ", Quoted{text});
  }
  out = *number;
  return {};
}

Result<> parse_mtu(std::string_view text, std::uint32_t& out) {
  const auto number = parse_unsigned<std::uint32_t>(text);
  if (!number || *number < minimum_mtu || *number > maximum_mtu) {
    return fail("the MTU is a number from ", minimum_mtu, " to ", maximum_mtu, ", not ", Quoted{text});
  }
  out = *number;
  return {};
}

Result<> parse_address(std::string_view text, Ipv4Address& out) {
  const auto address = Ipv4Address::parse(text);
  if (!address) {
    return fail(Quoted{text}, " is not an IPv4 address");
  }
  out = *address;
  return {};
}

Result<> parse_network(std::string_view text, Ipv4Prefix& out) {
  const auto prefix = Ipv4Prefix::parse(text);
  if (!prefix || prefix->length < 8 || prefix->length > 29) {
    return fail("a network looks like 10.0.2.0/24, with a length from 8 to 29, not ", Quoted{text});
  }
  out = {prefix->network(), prefix->length};
  return {};
}

/// Takes the text before the next ':'; without one, nothing.
std::optional<std::string_view> take_part(std::string_view& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view part = text.substr(0, colon);
  text.remove_prefix(colon + 1);
  return part;
}

std::optional<Forward> read_forward(std::string_view text) {
  const auto protocol = take_part(text);
  const auto address = take_part(text);
  auto host_port = take_part(text);
  if (!protocol || !address || !host_port || (*protocol != "tcp" && *protocol != "udp")) {
    return std::nullopt;
  }
  const bool or_next = host_port->ends_with('+');
  if (or_next) {
    host_port->remove_suffix(1);
  }
  const auto host = address->empty() ? Ipv4Address::of(127, 0, 0, 1) : Ipv4Address::parse(*address);
  const auto from = parse_unsigned<Port>(*host_port);
  const auto to = parse_unsigned<Port>(text);
  if (!host || !from || !to || *from == 0 || *to == 0) {
    return std::nullopt;
  }
  return Forward{*protocol == "udp", *host, *from, *to, or_next};
}

Result<> parse_forward(std::string_view text, Options& options) {
  const auto forward = read_forward(text);
  if (!forward) {
    return fail("a forward looks like tcp:127.0.0.1:8080:80, not ", Quoted{text});
  }
  if (options.forward_count == Options::forward_limit) {
    return fail("more than ", Options::forward_limit, " forwards");
  }
  options.forward_storage[options.forward_count++] = *forward;
  return {};
}

struct Flag {
  std::string_view name;
  bool Options::* member;
};
constexpr Flag flags[] = {{"--restrict", &Options::restricted},
                          {"--host-loopback", &Options::host_loopback},
                          {"--statistics", &Options::statistics},
                          {"--help", &Options::help},
                          {"--version", &Options::version}};

struct Value {
  std::string_view name;
  Result<> (*parse)(std::string_view text, Options& options);
};
constexpr Value values[] = {
    {"--fd", [](std::string_view text, Options& o) { return parse_descriptor(text, o.descriptor); }},
    {"--ready-fd", [](std::string_view text, Options& o) { return parse_descriptor(text, o.ready); }},
    {"--forward", parse_forward},
    {"--mtu", [](std::string_view text, Options& o) { return parse_mtu(text, o.mtu); }},
    {"--network", [](std::string_view text, Options& o) { return parse_network(text, o.network); }},
    {"--host", [](std::string_view text, Options& o) { return parse_address(text, o.host); }},
    {"--guest", [](std::string_view text, Options& o) { return parse_address(text, o.guest); }},
    {"--dns", [](std::string_view text, Options& o) { return parse_address(text, o.dns); }},
};

Result<> parse_option(std::string_view text, Options& options) {
  for (const Flag& flag : flags) {
    if (text == flag.name) {
      options.*flag.member = true;
      return {};
    }
  }
  const std::size_t equals = text.find('=');
  for (const Value& value : values) {
    if (equals != std::string_view::npos && text.substr(0, equals) == value.name) {
      return value.parse(text.substr(equals + 1), options);
    }
  }
  return fail("unknown option ", Quoted{text}, " (see --help)");
}

/// An address of the network that a station can have.
bool is_station(const Ipv4Prefix& network, Ipv4Address address) {
  return network.contains(address) && address != network.network() && address != network.broadcast();
}

/// Fills in the addresses that were not given, and checks all of them.
Result<> place_addresses(Options& options) {
  const std::uint32_t base = options.network.network().value;
  const std::uint32_t last = base | ~options.network.mask();
  const struct {
    Ipv4Address& address;
    std::uint32_t offset;
  } defaults[] = {{options.host, 2}, {options.dns, 3}, {options.guest, 15}};
  for (const auto& [address, offset] : defaults) {
    if (address.is_unspecified()) {
      address.value = std::min(base + offset, last - 1);
    }
    if (!is_station(options.network, address)) {
      return fail("--host, --guest and --dns must be addresses of stations in --network");
    }
  }
  if (options.host == options.guest || options.host == options.dns || options.guest == options.dns) {
    return fail("--host, --guest and --dns must differ");
  }
  return {};
}

}  // namespace

Result<Options> parse_options(std::span<char* const> arguments) {
  Options options;
  for (const char* argument : arguments) {
    if (auto parsed = parse_option(argument, options); !parsed) {
      return std::unexpected{parsed.error()};
    }
  }
  if (options.help || options.version) {
    return options;
  }
  if (options.descriptor < 0) {
    return fail("which socket? --fd=N is missing");
  }
  if (options.ready == options.descriptor) {
    return fail("--fd and --ready-fd must differ");
  }
  if (options.restricted && std::ranges::any_of(options.forwards(), &Forward::udp)) {
    return fail("with --restrict the guest cannot answer forwarded UDP");
  }
  if (auto placed = place_addresses(options); !placed) {
    return std::unexpected{placed.error()};
  }
  return options;
}

}  // namespace mirage::usernet
