// SPDX-License-Identifier: ISC
#include <algorithm>
#include <string_view>

#include <mirage/device/checksum/scheme.hpp>

namespace mirage::device::checksum {

namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

/// tables[k][b]: what byte b does to the remainder when k more bytes follow it.
constexpr Tables make_tables() noexcept {
  Tables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
    tables[0][i] = value;
  }
  for (std::size_t k = 1; k < tables.size(); ++k) {
    for (std::size_t i = 0; i < 256; ++i) {
      const std::uint32_t before = tables[k - 1][i];
      tables[k][i] = before >> 8 ^ tables[0][before & 255];
    }
  }
  return tables;
}
constexpr Tables tables = make_tables();

constexpr std::size_t id_at = 16;
constexpr tagged::Frame frame{.magic = {"mirsums\x1a", 8}, .version = format_version, .blocks = 24, .sum = 60};

/// Begins a checksum so that the same content has another one elsewhere (splitmix64's finalizer).
std::uint32_t seed_of(std::uint64_t id, std::uint64_t place) noexcept {
  std::uint64_t value = id + place * 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return static_cast<std::uint32_t>(value >> 32 ^ value);
}
std::uint32_t table_sum(std::uint64_t id, std::uint64_t group, std::size_t sector, Bytes bytes) noexcept {
  return crc32c(bytes.subspan(4), seed_of(~id, group * tagged::table_sectors + sector));
}

}  // namespace

std::uint32_t crc32c(Bytes bytes, std::uint32_t before) noexcept {
  std::uint32_t value = ~before;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const std::uint64_t word = load_little<std::uint64_t>(bytes, i) ^ value;
    value = 0;
    for (std::size_t k = 0; k < 8; ++k) value ^= tables[7 - k][word >> (8 * k) & 255];
  }
  for (; i < bytes.size(); ++i)
    value = value >> 8 ^ tables[0][(value ^ std::to_integer<std::uint32_t>(bytes[i])) & 255];
  return ~value;
}

std::uint32_t sum_of(std::uint64_t id, std::uint64_t unit, Bytes content) noexcept {
  if (tagged::is_zero(content)) return 0;
  const std::uint32_t sum = crc32c(content, seed_of(id, unit));
  return sum == 0 ? 1 : sum;
}

tagged::Found Scheme::decode(Bytes block) const noexcept { return frame.decode(block); }

Result<void, StartError> Scheme::use(Bytes block) noexcept {
  id_ = load_little<std::uint64_t>(block, id_at);
  return {};
}

Result<void, StartError> Scheme::make(Drbg& random, std::uint64_t blocks, MutableBytes block) noexcept {
  frame.begin(block, blocks);
  random.fill(block.subspan(id_at, sizeof(id_)));
  frame.seal(block);
  return use(block);
}

void Scheme::tag(std::uint64_t unit, Bytes content, MutableBytes tag) const noexcept {
  store_little(tag, 0, sum_of(id_, unit, content));
}

void Scheme::seal(std::uint64_t group, std::size_t sector, MutableBytes bytes) const noexcept {
  if (tagged::is_zero(bytes.subspan(table_shape.seal))) {
    std::ranges::fill(bytes, std::byte{});
    return;
  }
  store_little(bytes, 0, table_sum(id_, group, sector, bytes));
}

bool Scheme::sound(std::uint64_t group, std::size_t sector, Bytes bytes) const noexcept {
  return tagged::is_zero(bytes) || load_little<std::uint32_t>(bytes, 0) == table_sum(id_, group, sector, bytes);
}

}  // namespace mirage::device::checksum
