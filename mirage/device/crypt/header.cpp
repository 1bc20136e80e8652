// SPDX-License-Identifier: ISC
#include <algorithm>
#include <string_view>

#include <mirage/device/crypt/header.hpp>

namespace mirage::device::crypt {

namespace {
namespace at {
constexpr std::size_t kind = 12;
constexpr std::size_t id = 16;
constexpr std::size_t check = 64;
}  // namespace at
constexpr tagged::Frame frame{.magic = {"mircrypt", 8}, .version = format_version, .blocks = 32, .sum = 128};
}  // namespace

void encode(const Header& header, const Xts& cipher, MutableBytes block) noexcept {
  frame.begin(block, header.blocks);
  store_little(block, at::kind, static_cast<std::uint32_t>(header.kind));
  std::ranges::copy(header.id, block.subspan(at::id).begin());
  cipher.encrypt_apart(block.first(at::check), block.subspan(at::check, at::check));
  frame.seal(block);
}

tagged::Found decode(Bytes block) noexcept {
  const tagged::Found found = frame.decode(block);
  if (found.finding != tagged::Finding::good) return found;
  const Kind kind = header_of(block).kind;
  if (kind != Kind::xts && kind != Kind::authenticated) return {tagged::Finding::other_version, 0};
  return found;
}

Header header_of(Bytes block) noexcept {
  Header header{.kind = static_cast<Kind>(load_little<std::uint32_t>(block, at::kind)), .id = {}, .blocks = 0};
  std::ranges::copy(block.subspan(at::id, header.id.size()), header.id.begin());
  header.blocks = load_little<std::uint64_t>(block, frame.blocks);
  return header;
}

bool is_key_of(Bytes block, const Xts& cipher) noexcept {
  std::array<std::byte, at::check> check{};
  cipher.encrypt_apart(block.first(at::check), check);
  return equal(check, block.subspan(at::check, at::check));
}

}  // namespace mirage::device::crypt
