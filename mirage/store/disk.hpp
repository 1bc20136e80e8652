// SPDX-License-Identifier: ISC
// A block device as the stores see it: erased, so that a store is compiled once and not per device.
#pragma once

#include <mirage/module/block_port.hpp>
#include <mirage/module/kv.hpp>

namespace mirage::store {

using Disk = BlockPort;
template <Block B>
using DiskOf = BlockPortOf<B>;

/// The first base of a store over the block device B: constructed before the core that refers to it.
template <Block B>
struct DiskHolder {
  DiskHolder(Shard& shard, B& block) noexcept : held(shard, block) {}
  DiskOf<B> held;
};

/// What a store says when its device fails.
[[nodiscard]] constexpr KvError as_kv_error(BlockError error) noexcept {
  switch (error) {
    case BlockError::cancelled:
      return KvError::cancelled;
    case BlockError::no_memory:
      return KvError::no_memory;
    case BlockError::read_only:
      return KvError::read_only;
    default:
      return KvError::io;
  }
}

/// Refuses to start a store that changes its disk on one that cannot be written, or that cannot flush unless
/// `allow_volatile`. `store` and `key` are for the message.
[[nodiscard]] Result<void, StartError> check_writable(const Disk& disk, bool allow_volatile, std::string_view store,
                                                      std::string_view key) noexcept;

/// Makes what was written durable; a device that cannot flush has been allowed by check_writable().
Task<Result<void, KvError>> flush(Disk& disk);

/// One read of at most this many bytes of whole sectors: what the largest buffer holds.
inline constexpr std::uint64_t largest_read = 64 * 1024;

/// At most `length` bytes from the disk's byte `offset`, at least one, in a buffer of the pool: one request, no copy.
/// Precondition: the range lies on the disk, `length` is not 0.
Task<Result<SliceList, KvError>> read_range(Disk& disk, std::uint64_t offset, std::uint64_t length);

/// FNV-1a with 128 bits: tells contents apart that nobody chose in order to collide (not cryptographic).
/// http://www.isthe.com/chongo/tech/comp/fnv/
class ContentHash {
 public:
  void add(Bytes bytes) noexcept {
    for (const std::byte byte : bytes) value_ = (value_ ^ std::to_integer<unsigned>(byte)) * prime;
  }
  [[nodiscard]] KvDigest digest() const noexcept;

 private:
  __extension__ using Word = unsigned __int128;
  static constexpr Word prime = Word{1} << 88 | 0x13b;
  Word value_ = Word{0x6c62272e07bb0142} << 64 | 0x62b821756295c58d;
};

/// The digest of a value by reading it all, in pieces: `store.get(key, offset, length)`.
template <class Store>
Task<Result<KvDigest, KvError>> digest_content(Store& store, std::string_view key) {
  const auto info = co_await store.info(key);
  if (!info) co_return Failure{info.error()};
  ContentHash hash;
  for (std::uint64_t at = 0; at < info->size;) {
    const auto part = co_await store.get(key, at, info->size - at);
    if (!part) co_return Failure{part.error()};
    for (const Slice& slice : *part) hash.add(slice.bytes());
    at += part->byte_count();
  }
  co_return hash.digest();
}

}  // namespace mirage::store
