// SPDX-License-Identifier: ISC
// Messages between the shards of one program, which are processes and share only this memory (base/mailbox_layout.hpp):
// one bounded ring for each ordered pair, one writer and one reader each, so there are no locks and nobody waits. A
// full ring refuses. The other side is the same image, yet what it wrote is checked like any input: a position that
// cannot be empties the ring and is counted.
//
// Sleeping: a receiver looks into its rings before it waits in its environment. A sender publishes what it has written
// once per turn, and wakes the receiver if that had taken everything before: then it may have looked already. Both
// sides store their own position before they load the other's, sequentially consistent, so at least one of them sees
// it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include <mirage/base/bytes.hpp>
#include <mirage/base/mailbox_layout.hpp>

namespace mirage {

/// The writing end of a ring. One per ring, in one process.
class MailboxSender {
 public:
  MailboxSender() noexcept = default;
  explicit MailboxSender(MailboxRing& ring) noexcept
      : ring_(&ring), tail_(ring.tail.load(std::memory_order_relaxed)), published_(tail_) {}

  /// Appends one message made of `parts`; false when there is no room for it.
  [[nodiscard]] bool send(std::span<const Bytes> parts) noexcept;
  /// Makes what was sent visible; true when the receiver must be woken.
  [[nodiscard]] bool publish() noexcept;

 private:
  void put(std::uint32_t at, Bytes bytes) noexcept;
  MailboxRing* ring_ = nullptr;
  std::uint32_t tail_ = 0;
  std::uint32_t published_ = 0;
};

/// The reading end of a ring.
class MailboxReceiver {
 public:
  MailboxReceiver() noexcept = default;
  explicit MailboxReceiver(MailboxRing& ring) noexcept
      : ring_(&ring), head_(ring.head.load(std::memory_order_relaxed)), returned_(head_) {}

  /// Size of the next message; nothing when there is none. Then the room of those taken has been given back, and the
  /// sender wakes this side for what it sends next.
  [[nodiscard]] std::optional<std::uint32_t> next() noexcept;
  /// Copies from the message whose size next() gave, from byte `from` on. Precondition: that many bytes are there.
  void copy(std::uint32_t from, MutableBytes out) const noexcept;
  /// Goes on to the message behind it.
  void drop() noexcept;
  /// Times that the ring held what no sender writes.
  [[nodiscard]] std::uint64_t corrupted() const noexcept { return corrupted_; }

 private:
  [[nodiscard]] std::uint32_t used() noexcept;
  MailboxRing* ring_ = nullptr;
  std::uint32_t head_ = 0;
  std::uint32_t returned_ = 0;
  bool settled_ = true;     ///< head_ was stored, sequentially consistent, before the tail was loaded for the last time
  std::uint32_t size_ = 0;  ///< of the message at head_, as next() read it once
  std::uint64_t corrupted_ = 0;
};

/// A shard's place among the shards of its program, and how to reach the others; what a target knows.
struct ShardPlace {
  std::uint16_t index = 0;
  std::uint16_t count = 1;
  MutableBytes memory{};                                                ///< mailbox_size(count) bytes, if count > 1
  void* context = nullptr;                                              ///< for wake
  void (*wake)(void* context, std::uint16_t shard) noexcept = nullptr;  ///< ends the other shard's wait, or its next
};

/// A shard's ends of all its rings.
class Mailbox {
 public:
  /// False when the memory is not what a starter of `place.count` shards made.
  [[nodiscard]] bool open(const ShardPlace& place) noexcept;
  [[nodiscard]] const ShardPlace& place() const noexcept { return place_; }
  /// The 128 bits that all shards know.
  [[nodiscard]] std::array<std::uint64_t, 2> secret() const noexcept;

  /// Precondition of both: `shard` is another one of this program.
  [[nodiscard]] bool send(std::uint16_t shard, std::span<const Bytes> parts) noexcept {
    return senders_[shard].send(parts);
  }
  [[nodiscard]] MailboxReceiver& from(std::uint16_t shard) noexcept { return receivers_[shard]; }
  /// Publishes what was sent to all, and wakes those who need it; how many.
  std::size_t publish() noexcept;

 private:
  ShardPlace place_;
  std::array<MailboxSender, shard_limit> senders_;
  std::array<MailboxReceiver, shard_limit> receivers_;
};

}  // namespace mirage
