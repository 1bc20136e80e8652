// SPDX-License-Identifier: ISC
#include <algorithm>
#include <string_view>

#include <mirage/device/crypt/header.hpp>
#include <mirage/wire/crc.hpp>

namespace mirage::device::crypt {

namespace {
namespace at {
constexpr std::size_t version = 8;
constexpr std::size_t kind = 12;
constexpr std::size_t id = 16;
constexpr std::size_t blocks = 32;
constexpr std::size_t check = 64;
constexpr std::size_t sum = 128;
}  // namespace at
constexpr std::string_view magic{"mircrypt", 8};
}  // namespace

void encode(const Header& header, const Xts& cipher, MutableBytes block) noexcept {
  std::ranges::fill(block, std::byte{});
  std::ranges::copy(as_bytes(magic), block.begin());
  store_little(block, at::version, format_version);
  store_little(block, at::kind, static_cast<std::uint32_t>(header.kind));
  std::ranges::copy(header.id, block.subspan(at::id).begin());
  store_little(block, at::blocks, header.blocks);
  cipher.encrypt_apart(block.first(at::check), block.subspan(at::check, at::check));
  store_little(block, at::sum, wire::crc32c(block.first(at::sum)));
}

tagged::Found decode(Bytes block) noexcept {
  using enum tagged::Finding;
  if (tagged::is_zero(block)) return {blank, 0};
  if (as_text(block.first(magic.size())) != magic) return {foreign, 0};
  if (load_little<std::uint32_t>(block, at::sum) != wire::crc32c(block.first(at::sum))) return {damaged, 0};
  const auto kind = static_cast<Kind>(load_little<std::uint32_t>(block, at::kind));
  if (load_little<std::uint32_t>(block, at::version) != format_version ||
      (kind != Kind::xts && kind != Kind::authenticated))
    return {other_version, 0};
  return {good, load_little<std::uint64_t>(block, at::blocks)};
}

Header header_of(Bytes block) noexcept {
  Header header{.kind = static_cast<Kind>(load_little<std::uint32_t>(block, at::kind)), .id = {}, .blocks = 0};
  std::ranges::copy(block.subspan(at::id, header.id.size()), header.id.begin());
  header.blocks = load_little<std::uint64_t>(block, at::blocks);
  return header;
}

bool is_key_of(Bytes block, const Xts& cipher) noexcept {
  std::array<std::byte, at::check> check{};
  cipher.encrypt_apart(block.first(at::check), check);
  return equal(check, block.subspan(at::check, at::check));
}

}  // namespace mirage::device::crypt
