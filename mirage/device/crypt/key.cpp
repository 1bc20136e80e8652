// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/device/crypt/key.hpp>

namespace mirage::device::crypt {

Task<Result<void, StartError>> load_key(BlockPort& disk, Key& key) {
  const BlockGeometry& geometry = disk.geometry();
  if (geometry.sectors == 0) co_return Failure{StartError{"crypt: the disk with the key is empty"}};
  Secret sector;
  if (!sector.allocate(geometry.sector_size)) co_return Failure{StartError::no_memory};
  const MutableBytes bytes{static_cast<std::byte*>(sector.get()), geometry.sector_size};
  const BlockResult read = co_await disk.read(0, bytes);
  if (!read) co_return Failure{StartError{"crypt: the key cannot be read: {}", read.error()}};
  std::ranges::copy(bytes.first(key_size), key.bytes.begin());
  // NIST SP 800-38E and FIPS 140 (IG C.I): the keys of data and tweak differ. Zeros fail the same test.
  const Bytes halves{key.bytes};
  if (equal(halves.first(key_size / 2), halves.subspan(key_size / 2)))
    co_return Failure{StartError{"crypt: the first 64 bytes of the disk with the key are no key: equal halves"}};
  co_return Result<void, StartError>{};
}

}  // namespace mirage::device::crypt
