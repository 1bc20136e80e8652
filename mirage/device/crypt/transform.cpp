// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/device/crypt/transform.hpp>

namespace mirage::device::crypt {

void Transform::use(std::uint64_t first, std::uint64_t sectors) noexcept {
  first_ = first;
  geometry_ = disk_.geometry();
  geometry_.sectors = sectors;
  // Zeroes below would not be zeroes here; mirage::write_zeroes() writes them, encrypted.
  geometry_.discard = geometry_.write_zeroes = false;
}

Task<BlockResult> Transform::blank() {
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[most_at_once]());
  if (!memory) co_return Failure{BlockError::no_memory};
  for (std::uint64_t sector = 0; sector < geometry_.sectors;) {
    const std::uint64_t left = (geometry_.sectors - sector) * geometry_.sector_size;
    const Bytes zeros{memory.get(), static_cast<std::size_t>(std::min<std::uint64_t>(left, most_at_once))};
    MIRAGE_CO_CHECK(co_await encrypt(sector, zeros, false));
    sector += zeros.size() / geometry_.sector_size;
  }
  co_return BlockResult{};
}

Task<BlockResult> Transform::read(std::uint64_t sector, MutableBytes bytes) {
  MIRAGE_CO_CHECK(check_range(geometry_, sector, bytes.size()));
  MIRAGE_CO_CHECK(co_await disk_.read(first_ + sector, bytes));
  cipher_.decrypt(unit_at(sector), bytes);
  co_return BlockResult{};
}

Task<BlockResult> Transform::encrypt(std::uint64_t sector, Bytes bytes, bool durable) {
  if (geometry_.read_only) co_return Failure{BlockError::read_only};
  MIRAGE_CO_CHECK(check_range(geometry_, sector, bytes.size()));
  const std::size_t step = std::min(bytes.size(), most_at_once);
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[step]);
  if (!memory) co_return Failure{BlockError::no_memory};
  while (!bytes.empty()) {
    const MutableBytes out{memory.get(), std::min(bytes.size(), step)};
    cipher_.encrypt(unit_at(sector), bytes.first(out.size()), out);
    const std::uint64_t below = first_ + sector;
    MIRAGE_CO_CHECK(durable ? co_await disk_.write_durable(below, out) : co_await disk_.write(below, out));
    sector += out.size() / geometry_.sector_size;
    bytes = bytes.subspan(out.size());
  }
  co_return BlockResult{};
}

Task<BlockResult> Transform::write_durable(std::uint64_t sector, Bytes bytes) {
  if (geometry_.durability == Durability::none) co_return Failure{BlockError::unsupported};
  co_return co_await encrypt(sector, bytes, true);
}

}  // namespace mirage::device::crypt
