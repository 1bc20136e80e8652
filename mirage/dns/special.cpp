// SPDX-License-Identifier: ISC
#include <array>

#include <mirage/dns/special.hpp>
#include <mirage/wire/dns_name.hpp>

namespace mirage::dns {

namespace {

/// Whether the last label is `label` (lower case).
bool ends_in(std::string_view name, std::string_view label) noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.size() < label.size()) return false;
  const std::string_view tail = name.substr(name.size() - label.size());
  for (std::size_t i = 0; i < label.size(); ++i) {
    if (wire::dns_lower(static_cast<std::uint8_t>(tail[i])) != static_cast<std::uint8_t>(label[i])) return false;
  }
  return name.size() == label.size() || name[name.size() - label.size() - 1] == '.';
}

Result<Records, ResolveError> one_address(const IpAddress& address, RecordType type, BufferPool& pool) noexcept {
  if (type != (address.is_v4() ? RecordType::a : RecordType::aaaa)) return Failure{ResolveError::no_data};
  std::array<std::byte, 18> form{};
  store_big(MutableBytes(form), 0, std::uint16_t{16});
  for (std::size_t i = 0; i < 16; ++i) form[2 + i] = std::byte{address.octets[i]};
  Slice slice = pool.copy(form);
  if (slice.empty()) return Failure{ResolveError::no_memory};
  return Records{std::move(slice)};
}

constexpr IpAddress loopback_v6() noexcept {
  IpAddress address;
  address.octets[15] = 1;
  return address;
}

}  // namespace

std::optional<Result<Records, ResolveError>> special_name(std::string_view name, RecordType type,
                                                          BufferPool& pool) noexcept {
  if (const auto address = IpAddress::parse(name)) return one_address(*address, type, pool);
  if (ends_in(name, "localhost")) {
    if (type == RecordType::aaaa) return one_address(loopback_v6(), type, pool);
    return one_address(Ipv4Address::of(127, 0, 0, 1), type, pool);
  }
  if (ends_in(name, "invalid") || ends_in(name, "onion")) return Failure{ResolveError::not_found};
  return std::nullopt;
}

}  // namespace mirage::dns
