// SPDX-License-Identifier: ISC
#include <new>

#include <mirage/device/crypt/core.hpp>

namespace mirage::device::crypt {

Task<Result<bool, StartError>> Core::open(const Key& key) {
  if (!cipher_.init(key)) co_return Failure{StartError::no_memory};
  shard().logger("crypt").info("AES-256-XTS by {}", to_string(cipher_.aes()));
  MIRAGE_CO_TRY(const std::uint64_t blocks, co_await tagged::read_headers(disk_, *this));
  if (blocks != 0) data_.use(sector_at(1), sector_at(blocks - 2));
  co_return blocks != 0;
}

Result<void, StartError> Core::use(Bytes block) noexcept {
  if (header_of(block).kind != Kind::xts)
    return Failure{StartError{"crypt: this disk is authenticated (crypt_authenticated)"}};
  if (!is_key_of(block, cipher_)) return Failure{StartError{"crypt: wrong key for this disk"}};
  return {};
}

Task<Result<void, StartError>> Core::format() {
  if (!shard().seed_random()) co_return Failure{StartError{"crypt: no entropy to format a blank disk with"}};
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[block_size]);
  if (!memory) co_return Failure{StartError::no_memory};
  Header header{.kind = Kind::xts, .id = {}, .blocks = disk_.geometry().bytes() / block_size};
  shard().random().fill(header.id);
  const MutableBytes block{memory.get(), block_size};
  encode(header, cipher_, block);
  data_.use(sector_at(1), sector_at(header.blocks - 2));
  BlockResult blank = co_await tagged::write_begun(disk_);
  if (blank) blank = co_await data_.blank();
  if (!blank) co_return Failure{StartError{"crypt: the disk cannot be formatted: {}", blank.error()}};
  co_return co_await tagged::write_headers(disk_, *this, block);
}

}  // namespace mirage::device::crypt
