// SPDX-License-Identifier: ISC
#include <algorithm>
#include <limits>

#include <mirage/store/volume/header.hpp>
#include <mirage/wire/crc.hpp>

namespace mirage::store::volume {

namespace {

// Octets of the header, little endian.
constexpr std::size_t magic_at = 0;
constexpr std::size_t version_at = 8;
constexpr std::size_t generation_at = 16;
constexpr std::size_t id_at = 24;
constexpr std::size_t data_at = 32;
constexpr std::size_t journal_at = 40;
constexpr std::size_t chunks_at = 48;
constexpr std::size_t checksum_at = 60;
constexpr std::string_view magic = "mirageV\x1a";
constexpr std::uint32_t version = 1;

bool has_magic(Bytes bytes) noexcept { return as_text(bytes.first(magic.size())) == magic; }

/// Whether the sizes fit the device.
bool fits(const Header& header, const Layout& layout) noexcept {
  if (header.chunks > layout.chunks || header.chunks == 0) return false;
  const std::uint64_t data = chunks_for(header.sizes[0]);
  return data <= header.chunks && chunks_for(header.sizes[1]) <= header.chunks - data;
}

}  // namespace

void emit(const Header& header, MutableBytes out) noexcept {
  std::ranges::fill(out.first(header_size), std::byte{});
  std::ranges::copy(as_bytes(magic), out.begin() + magic_at);
  store_little(out, version_at, version);
  store_little(out, generation_at, header.generation);
  store_little(out, id_at, header.id);
  store_little(out, data_at, header.sizes[0]);
  store_little(out, journal_at, header.sizes[1]);
  store_little(out, chunks_at, header.chunks);
  store_little(out, checksum_at, wire::crc32c(out.first(checksum_at)));
}

std::optional<Header> parse(Bytes bytes) noexcept {
  if (bytes.size() < header_size || !has_magic(bytes)) return std::nullopt;
  if (load_little<std::uint32_t>(bytes, version_at) != version) return std::nullopt;
  if (load_little<std::uint32_t>(bytes, checksum_at) != wire::crc32c(bytes.first(checksum_at))) return std::nullopt;
  return Header{.generation = load_little<std::uint64_t>(bytes, generation_at),
                .id = load_little<std::uint64_t>(bytes, id_at),
                .sizes = {load_little<std::uint64_t>(bytes, data_at), load_little<std::uint64_t>(bytes, journal_at)},
                .chunks = load_little<std::uint64_t>(bytes, chunks_at)};
}

std::optional<Layout> layout_of(const BlockGeometry& geometry) noexcept {
  if (geometry.sector_size == 0 || geometry.sector_size > chunk_size) return std::nullopt;
  if (geometry.sectors > std::numeric_limits<std::uint64_t>::max() / geometry.sector_size) return std::nullopt;
  Layout layout{.slot = std::max<std::uint64_t>(4096, geometry.sector_size), .sector = geometry.sector_size};
  if (geometry.bytes() < 2 * layout.slot) return std::nullopt;
  layout.chunks = (geometry.bytes() - 2 * layout.slot) / chunk_size;
  if (layout.chunks < 4) return std::nullopt;
  return layout;
}

Found judge(Bytes first, Bytes second, const Layout& layout) noexcept {
  const auto a = parse(first);
  const auto b = parse(second);
  if (!a && !b) {
    const auto zero = [](std::byte byte) { return byte == std::byte{}; };
    if (std::ranges::all_of(first, zero) && std::ranges::all_of(second, zero)) return {Finding::blank, {}, 0};
    return {has_magic(first) || has_magic(second) ? Finding::damaged : Finding::foreign, {}, 0};
  }
  // Two good headers of different volumes: a format was interrupted.
  if (a && b && a->id != b->id) return {Finding::damaged, {}, 0};
  // The one after the other, also where a forged number has made them wrap.
  const bool take_second = !a || (b && static_cast<std::int64_t>(b->generation - a->generation) > 0);
  const Header& header = take_second ? *b : *a;
  return {.finding = fits(header, layout) ? Finding::good : Finding::damaged,
          .header = header,
          .slot = take_second ? 1U : 0U};
}

}  // namespace mirage::store::volume
