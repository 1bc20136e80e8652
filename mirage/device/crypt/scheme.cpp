// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/device/crypt/scheme.hpp>

namespace mirage::device::crypt {

/// Each format has keys of its own, so the same key may serve several disks.
bool Scheme::derive_keys(const std::array<std::byte, 16>& id) noexcept {
  std::array<std::byte, key_size + Mac::code_size> keys;
  Key key;
  bool done = derive(key_.bytes, id, purpose, keys);
  std::ranges::copy(Bytes{keys}.first(key_size), key.bytes.begin());
  done = done && cipher_.init(key) && mac_.init(Bytes{keys}.subspan(key_size));
  wipe(keys);
  return done;
}

Result<void, StartError> Scheme::use(Bytes block) noexcept {
  const Header header = header_of(block);
  if (header.kind != Kind::authenticated) return Failure{StartError{"crypt: this disk is not authenticated (crypt)"}};
  if (!derive_keys(header.id)) return Failure{StartError::no_memory};
  if (!is_key_of(block, cipher_)) return Failure{StartError{"crypt: wrong key for this disk"}};
  return {};
}

Result<void, StartError> Scheme::make(Drbg& random, std::uint64_t blocks, MutableBytes block) noexcept {
  Header header{.kind = Kind::authenticated, .id = {}, .blocks = blocks};
  random.fill(header.id);
  if (!derive_keys(header.id)) return Failure{StartError::no_memory};
  encode(header, cipher_, block);
  return {};
}

/// What and where go before the content: a code is of no use for another place, a table's none for a unit.
void Scheme::code(What what, std::uint64_t place, Bytes content, MutableBytes code) const noexcept {
  std::array<std::byte, 16> prefix{};
  store_little<std::uint64_t>(prefix, 0, place);
  prefix[8] = static_cast<std::byte>(what);
  const Mac::Code whole = mac_.code(prefix, content);
  std::ranges::copy(Bytes{whole}.first(code.size()), code.begin());
}

void Scheme::tag(std::uint64_t unit, Bytes content, MutableBytes tag) const noexcept {
  code(What::unit, unit, content, tag);
}

void Scheme::seal(std::uint64_t group, std::size_t sector, MutableBytes bytes) const noexcept {
  code(What::table, group * tagged::table_sectors + sector, bytes.subspan(table_shape.seal),
       bytes.first(table_shape.seal));
}

bool Scheme::sound(std::uint64_t group, std::size_t sector, Bytes bytes) const noexcept {
  std::array<std::byte, table_shape.seal> wanted{};
  code(What::table, group * tagged::table_sectors + sector, bytes.subspan(table_shape.seal), wanted);
  return equal(wanted, bytes.first(table_shape.seal));
}

void Scheme::fill(std::uint64_t unit, MutableBytes content) const noexcept {
  std::ranges::fill(content, std::byte{});
  cipher_.encrypt(unit, content, content);
}

}  // namespace mirage::device::crypt
