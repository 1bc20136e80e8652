// SPDX-License-Identifier: ISC
// The sending side of a connection: what has been said and not been written yet.
#pragma once

#include <span>
#include <string_view>

#include <mirage/base/buffer.hpp>

namespace mirage::http {

/// Collects what is to be written: copies small pieces into pooled blocks, references large ones. An append that fails
/// adds nothing.
class Output {
 public:
  /// Payload up to this size is copied next to its head, which saves a slice per response.
  static constexpr std::size_t copy_limit = 256;
  explicit Output(BufferPool& pool) noexcept : pool_(pool) {}
  /// False when the pool has no block or the list is full.
  [[nodiscard]] bool append(std::string_view text) noexcept;
  [[nodiscard]] bool append(const Slice& slice) noexcept;
  /// Makes sure that `size` bytes, at most large_capacity, can be appended as text without failing.
  [[nodiscard]] bool reserve(std::size_t size) noexcept;
  /// Room for `size` bytes of text, at most large_capacity, to be written in place; none for want of memory. What
  /// end_text() says of it counts.
  [[nodiscard]] std::span<char> begin_text(std::size_t size) noexcept;
  void end_text(std::size_t size) noexcept { (void)open_.grow_back(static_cast<std::uint32_t>(size)); }
  /// Everything collected, in order; the output is empty afterwards.
  [[nodiscard]] SliceList take() noexcept;
  [[nodiscard]] std::size_t byte_count() const noexcept { return done_.byte_count() + open_.size(); }
  [[nodiscard]] bool empty() const noexcept { return byte_count() == 0; }
  /// Whether another head and a few slices fit without a write in between.
  [[nodiscard]] bool has_room() const noexcept {
    return done_.size() + 6 < SliceList::capacity && byte_count() < std::size_t{32} * 1024;
  }

 private:
  void close_block() noexcept;
  BufferPool& pool_;
  MutableSlice open_;
  SliceList done_;  // one place always stays free for the open block
};

}  // namespace mirage::http
