// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/async/mailbox.hpp>

namespace mirage {

namespace {

constexpr std::uint32_t capacity = MailboxRing::capacity;
/// Messages begin at multiples of eight, with their size; so a size never wraps round.
constexpr std::uint32_t prefix = 8;
constexpr std::uint32_t occupied(std::uint32_t size) noexcept { return prefix + (size + 7) / 8 * 8; }
constexpr std::uint32_t place_of(std::uint32_t position) noexcept { return position % capacity; }

bool is_aligned(MutableBytes memory) noexcept {
  return reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(MailboxRing) == 0;
}

const MailboxHeader& header_of(MutableBytes memory) noexcept {
  return *reinterpret_cast<const MailboxHeader*>(memory.data());
}

/// Precondition: the memory is large enough.
MailboxRing& ring_of(const ShardPlace& place, std::uint16_t from, std::uint16_t to) noexcept {
  const std::size_t index = std::size_t{from} * place.count + to;
  return *reinterpret_cast<MailboxRing*>(place.memory.data() + mailbox_ring_offset + index * sizeof(MailboxRing));
}

}  // namespace

// --- sending ---

void MailboxSender::put(std::uint32_t at, Bytes bytes) noexcept {
  const std::size_t first = std::min<std::size_t>(bytes.size(), capacity - place_of(at));
  if (first > 0) std::memcpy(ring_->data + place_of(at), bytes.data(), first);
  if (first < bytes.size()) std::memcpy(ring_->data, bytes.data() + first, bytes.size() - first);
}

bool MailboxSender::send(std::span<const Bytes> parts) noexcept {
  std::size_t size = 0;
  for (const Bytes part : parts) size += part.size();
  const std::uint32_t used = tail_ - ring_->head.load(std::memory_order_acquire);
  if (used > capacity || size > capacity || occupied(static_cast<std::uint32_t>(size)) > capacity - used) return false;
  const auto length = static_cast<std::uint32_t>(size);
  std::uint32_t at = tail_;
  put(at, std::as_bytes(std::span{&length, 1}));
  at += prefix;
  for (const Bytes part : parts) {
    put(at, part);
    at += static_cast<std::uint32_t>(part.size());
  }
  tail_ += occupied(length);
  return true;
}

bool MailboxSender::publish() noexcept {
  if (tail_ == published_) return false;
  const std::uint32_t before = published_;
  published_ = tail_;
  ring_->tail.store(tail_, std::memory_order_seq_cst);
  return ring_->head.load(std::memory_order_seq_cst) == before;
}

// --- receiving ---

/// Bytes of complete messages. Whoever finds none has stored its own position before it looked.
std::uint32_t MailboxReceiver::used() noexcept {
  const std::uint32_t found = ring_->tail.load(std::memory_order_acquire) - head_;
  if (found != 0 || settled_) return found;
  settled_ = true;
  returned_ = head_;
  ring_->head.store(head_, std::memory_order_seq_cst);
  return ring_->tail.load(std::memory_order_seq_cst) - head_;
}

std::optional<std::uint32_t> MailboxReceiver::next() noexcept {
  const std::uint32_t available = used();
  if (available == 0) return std::nullopt;
  if (available >= prefix && available <= capacity && available % 8 == 0) {
    std::memcpy(&size_, ring_->data + place_of(head_), sizeof size_);
    if (size_ <= available - prefix) return size_;
  }
  ++corrupted_;
  head_ += available;
  head_ -= head_ % 8;  // where the size of a message may stand
  size_ = 0;
  settled_ = false;
  returned_ = head_;
  ring_->head.store(head_, std::memory_order_seq_cst);
  return std::nullopt;
}

void MailboxReceiver::copy(std::uint32_t from, MutableBytes out) const noexcept {
  const std::uint32_t at = head_ + prefix + from;
  const std::size_t first = std::min<std::size_t>(out.size(), capacity - place_of(at));
  if (first > 0) std::memcpy(out.data(), ring_->data + place_of(at), first);
  if (first < out.size()) std::memcpy(out.data() + first, ring_->data, out.size() - first);
}

void MailboxReceiver::drop() noexcept {
  head_ += occupied(size_);
  settled_ = false;
  // The sender of a crowded ring need not wait until it is empty. That is no reason not to store the position once more
  // before looking for the last time: this store may still be on its way when the tail is loaded behind it.
  if (head_ - returned_ < capacity / 4) return;
  returned_ = head_;
  ring_->head.store(head_, std::memory_order_release);
}

// --- all of a shard ---

bool Mailbox::open(const ShardPlace& place) noexcept {
  place_ = place;
  if (place.count > shard_limit || place.index >= place.count || place.wake == nullptr) return false;
  if (place.memory.size() < mailbox_size(place.count) || !is_aligned(place.memory)) return false;
  const MailboxHeader& header = header_of(place.memory);
  if (header.magic != MailboxHeader::expected_magic || header.shards != place.count) return false;
  for (std::uint16_t other = 0; other < place.count; ++other) {
    if (other == place.index) continue;
    senders_[other] = MailboxSender{ring_of(place, place.index, other)};
    receivers_[other] = MailboxReceiver{ring_of(place, other, place.index)};
  }
  return true;
}

std::array<std::uint64_t, 2> Mailbox::secret() const noexcept {
  const MailboxHeader& header = header_of(place_.memory);
  return {header.secret[0], header.secret[1]};
}

std::size_t Mailbox::publish() noexcept {
  std::size_t woken = 0;
  for (std::uint16_t other = 0; other < place_.count; ++other) {
    if (other == place_.index || !senders_[other].publish()) continue;
    place_.wake(place_.context, other);
    ++woken;
  }
  return woken;
}

}  // namespace mirage
