// SPDX-License-Identifier: ISC
// The receiving side of a connection: bytes that have arrived and have not been handled.
#pragma once

#include <mirage/base/buffer.hpp>
#include <mirage/http/message.hpp>

namespace mirage::http {

/// A head is looked at where it was received if it lies in one slice; otherwise it is gathered into a block of its own,
/// in which it grows: each byte is copied once or twice, however small the pieces are. Holds no memory when it is
/// empty.
class Input {
 public:
  Input(BufferPool& pool, std::uint32_t maximum_head) noexcept : pool_(pool), maximum_head_(maximum_head) {}
  /// Queues what a read returned. Precondition: what was queued before has been looked at by find_head() or used up.
  void append(SliceList&& received) noexcept;
  /// The contiguous bytes at the front.
  [[nodiscard]] std::string_view text() const noexcept {
    return gathered_ ? as_text(gathered_.bytes()) : current_.text();
  }
  [[nodiscard]] bool empty() const noexcept { return text().empty() && rest_.empty(); }
  /// Moves on to the next slice once the front is consumed; false when everything received is used up.
  [[nodiscard]] bool advance() noexcept;
  /// Size of the head at the front, 0 while it is incomplete. Empty lines in front are skipped (RFC 9112 section 2.2).
  /// Gathers a head that lies in several slices.
  [[nodiscard]] std::size_t find_head() noexcept;
  /// The head is incomplete and at its bound.
  [[nodiscard]] bool too_large() const noexcept { return text().size() >= maximum_head_; }
  /// Gathering failed for want of memory.
  [[nodiscard]] bool starved() const noexcept { return starved_; }
  /// Precondition: no more than the size of a head that find_head() has found, or of the text behind it.
  void consume(std::size_t count) noexcept;
  /// Up to `count` bytes from `offset` of the front, sharing the memory. Precondition: as for consume().
  [[nodiscard]] Slice view(std::size_t offset, std::size_t count) const noexcept { return current_.sub(offset, count); }

 private:
  [[nodiscard]] bool gather() noexcept;
  void skip_empty_lines() noexcept;
  BufferPool& pool_;
  std::uint32_t maximum_head_;
  Slice current_;          // the front, unless a head is being gathered
  MutableSlice gathered_;  // the head so far; the rest of what was received is behind it
  std::size_t scanned_ = 0;
  bool starved_ = false;
  SliceList rest_;
};

}  // namespace mirage::http
