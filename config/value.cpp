// SPDX-License-Identifier: ISC
#include <array>
#include <format>
#include <utility>

#include <config/value.hpp>
#include <mirage/base/log.hpp>
#include <mirage/base/option.hpp>

namespace mirage::plan {

namespace {

template <class T>
bool check(std::string_view text) {
  T value{};
  return parse_value(text, value);
}

template <class T>
T read(std::string_view text) {
  T value{};
  (void)parse_value(text, value);
  return value;
}

/// All of a list, which an image checks when it starts.
template <class P>
bool check_list(std::string_view text) {
  for (std::size_t at = 0; at != std::string_view::npos;) {
    const auto comma = text.find(',', at);
    const auto prefix = P::parse(text.substr(at, comma == std::string_view::npos ? comma : comma - at));
    if (!prefix || (std::is_same_v<P, IpPrefix> && IpPrefix{*prefix}.address.is_v4())) return false;
    at = comma == std::string_view::npos ? comma : comma + 1;
  }
  return true;
}

std::string as_is(std::string_view text) { return std::string(text); }
// By value: zeros in front, which an image reads as decimal, would make an octal literal.
std::string number(std::string_view text) { return std::format("{}U", read<std::uint64_t>(text)); }
std::string signed_number(std::string_view text) {
  const auto value = read<std::int64_t>(text);
  // The lowest value is not a literal in C++: it would be minus a number that does not fit.
  return value == INT64_MIN ? "INT64_MIN" : std::to_string(value);
}
std::string duration(std::string_view text) {
  return std::format("mirage::Duration{{{}}}", read<Duration>(text).count());
}
std::string address(std::string_view text) {
  return std::format("mirage::Ipv4Address{{{:#010x}}}", read<Ipv4Address>(text).value);
}
std::string prefix(std::string_view text) {
  const auto value = read<Ipv4Prefix>(text);
  return std::format("mirage::Ipv4Prefix{{mirage::Ipv4Address{{{:#010x}}}, {}}}", value.address.value, value.length);
}
std::string ip_address(const IpAddress& address) {
  return std::format("mirage::IpAddress::of({:#018x}, {:#018x})", address.high(), address.low());
}
std::string any_address(std::string_view text) { return ip_address(read<IpAddress>(text)); }
std::string any_prefix(std::string_view text) {
  const auto value = read<IpPrefix>(text);
  return std::format("mirage::IpPrefix{{{}, {}}}", ip_address(value.address), value.length);
}

std::string list(std::string_view cpp, std::string_view text, std::string_view further,
                 std::string (*one)(std::string_view)) {
  return std::format("mirage::PrefixList<{}>{{{}, {}}}", cpp, one(text.substr(0, text.find(','))), cpp_string(further));
}
std::string prefix_list(std::string_view text) {
  return list("mirage::Ipv4Prefix", text, read<PrefixList<Ipv4Prefix>>(text).further, prefix);
}
std::string any_prefix_list(std::string_view text) {
  return list("mirage::IpPrefix", text, read<PrefixList<IpPrefix>>(text).further, any_prefix);
}

bool are_levels(std::string_view text) {
  struct Nowhere final : LogSink {
    void write_line(std::string_view) noexcept override {}
  } nowhere;
  return Log(nowhere).configure(text);
}

constexpr std::array types{
    KeyType{"bool", "bool", "true or false", check<bool>, as_is},
    KeyType{"u8", "std::uint8_t", "a number from 0 to 255", check<std::uint8_t>, number},
    KeyType{"u16", "std::uint16_t", "a number from 0 to 65535", check<std::uint16_t>, number},
    KeyType{"u32", "std::uint32_t", "a number from 0 to 4294967295", check<std::uint32_t>, number},
    KeyType{"u64", "std::uint64_t", "a number from 0 to 18446744073709551615", check<std::uint64_t>, number},
    KeyType{"i8", "std::int8_t", "a number from -128 to 127", check<std::int8_t>, signed_number},
    KeyType{"i16", "std::int16_t", "a number from -32768 to 32767", check<std::int16_t>, signed_number},
    KeyType{"i32", "std::int32_t", "a number from -2147483648 to 2147483647", check<std::int32_t>, signed_number},
    KeyType{"i64", "std::int64_t", "a number of 64 bits, with sign", check<std::int64_t>, signed_number},
    KeyType{"string", "std::string_view", "text", check<std::string_view>, cpp_string},
    KeyType{"levels", "std::string_view",
            "LEVEL or SOURCE:LEVEL, separated by commas; levels are quiet, error, warning, info, debug", are_levels,
            cpp_string},
    KeyType{"duration", "mirage::Duration", "a duration such as 500ms, 10s or 2m", check<Duration>, duration},
    KeyType{"ipv4", "mirage::Ipv4Address", "an IPv4 address such as 10.0.0.1", check<Ipv4Address>, address},
    KeyType{"ipv4_prefix", "mirage::Ipv4Prefix", "an address with its network's length, such as 10.0.0.2/24",
            check<Ipv4Prefix>, prefix},
    KeyType{"ip", "mirage::IpAddress", "an IP address such as 2001:db8::1 or 10.0.0.1", check<IpAddress>, any_address},
    KeyType{"ip_prefix", "mirage::IpPrefix", "an address with its network's length, such as 2001:db8::2/64",
            check<IpPrefix>, any_prefix},
    KeyType{"ipv4_prefixes", "mirage::PrefixList<mirage::Ipv4Prefix>",
            "addresses with their networks' lengths, such as 10.0.0.2/24,10.0.1.2/24", check_list<Ipv4Prefix>,
            prefix_list},
    KeyType{"ipv6_prefixes", "mirage::PrefixList<mirage::IpPrefix>",
            "addresses with their networks' lengths, such as 2001:db8::2/64", check_list<IpPrefix>, any_prefix_list},
};

}  // namespace

const KeyType* find_key_type(std::string_view name) {
  for (const KeyType& type : types) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

std::string cpp_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '?') {
      out += std::format("\\{:03o}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string shown(const KeyType& type, std::string_view text) {
  if (type.name != "duration") return std::string(text);
  const auto count = read<Duration>(text).count();
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 6> units{{{"h", 3'600'000'000'000},
                                                                            {"m", 60'000'000'000},
                                                                            {"s", 1'000'000'000},
                                                                            {"ms", 1'000'000},
                                                                            {"us", 1'000},
                                                                            {"ns", 1}}};
  for (const auto& [name, size] : units) {
    if (count != 0 && count % size == 0) return std::format("{}{}", count / size, name);
  }
  return "0s";
}

}  // namespace mirage::plan
