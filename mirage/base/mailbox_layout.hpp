// SPDX-License-Identifier: ISC
// The memory that the shards of one program share, and nothing else: a header, then one ring for each ordered pair of
// shards. Whoever starts the shards maps it zeroed and writes the header; see async/mailbox.hpp for the rings.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mirage {

/// Shards of one program at most.
inline constexpr std::uint16_t shard_limit = 16;

struct MailboxHeader {
  static constexpr std::uint64_t expected_magic = 0x3130'786f'626c'696d;  // "milbox01"
  std::uint64_t magic;
  std::uint64_t shards;
  /// From the host's generator: the same for all shards, and known to nobody else.
  std::uint64_t secret[2];
};

/// Positions count bytes and wrap; each is written by one side only.
struct MailboxRing {
  static constexpr std::uint32_t capacity = 256U << 10;  ///< bytes: three frames of the largest size
  alignas(64) std::atomic<std::uint32_t> tail;           ///< the sender's: behind the last complete message
  alignas(64) std::atomic<std::uint32_t> head;           ///< the receiver's: the first message that it has not taken
  alignas(64) std::byte data[capacity];
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(MailboxRing) == MailboxRing::capacity + 128);

inline constexpr std::size_t mailbox_ring_offset = 4096;
/// Bytes of the whole memory; pages that no message has touched cost nothing.
[[nodiscard]] constexpr std::size_t mailbox_size(std::uint16_t shards) noexcept {
  return mailbox_ring_offset + std::size_t{shards} * shards * sizeof(MailboxRing);
}

}  // namespace mirage
