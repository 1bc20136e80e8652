// SPDX-License-Identifier: ISC
// Received bytes that the application has not taken: the stream in order, and segments beyond a hole. What counts is
// memory pinned, not payload: payloads up to 256 bytes are copied together (one alone stays where it is), and a stream
// whose slices pin more than four times their bytes is compacted. What the application has taken and keeps counts, too,
// where take() is asked to lend it: a second reference to each slice says how long that is.
#pragma once

#include <mirage/net/tcp/slice_node.hpp>

namespace mirage::net::tcp {

class ReceiveQueue {
 public:
  static constexpr std::uint32_t copied_size = 256;

  /// Bytes in order, ready to be read.
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  /// Memory that the queue keeps alive, in order and beyond holes, and what is lent.
  [[nodiscard]] std::uint32_t pinned() const noexcept { return pinned_ + lent_; }
  [[nodiscard]] std::uint32_t lent() const noexcept { return lent_; }
  [[nodiscard]] bool has_stored() const noexcept { return !stored_.empty(); }

  /// Appends to the stream. Precondition: the pool has a node for each slice of more than copied_size bytes, and one
  /// more (NodePool::has); then nothing is ever lost.
  void append(NodePool& nodes, BufferPool& buffers, SliceList&& payload) noexcept;
  /// Keeps a segment beyond a hole, its first byte at `sequence`. Precondition as above.
  void store(NodePool& nodes, SliceList&& payload, Sequence sequence) noexcept;
  /// Moves stored bytes that follow `position` to the stream, up to `end`.
  void deliver_stored(NodePool& nodes, Sequence position, Sequence end) noexcept;
  void drop_stored(NodePool& nodes) noexcept;
  /// The next bytes of the stream, as many slices as fit. `lend`: they count until nobody else has them, as far as
  /// there are nodes.
  [[nodiscard]] SliceList take(NodePool& nodes, bool lend = false) noexcept;
  /// Looks at some of what is lent, and forgets what the application has let go of. How much that was.
  std::uint32_t settle(NodePool& nodes) noexcept;
  /// It counts no more, whoever has it. How much that was.
  std::uint32_t forget_lent(NodePool& nodes) noexcept;
  void clear(NodePool& nodes) noexcept;

 private:
  [[nodiscard]] bool repeats_kept(const Slice& slice) const noexcept;
  void copy_first(NodePool& nodes, BufferPool& buffers) noexcept;
  void append_slice(NodePool& nodes, BufferPool& buffers, Slice&& slice) noexcept;
  [[nodiscard]] bool copy_together(NodePool& nodes, BufferPool& buffers, Bytes bytes) noexcept;
  void push(SliceNode* node) noexcept;
  void seal() noexcept;
  void compact(NodePool& nodes, BufferPool& buffers) noexcept;

  SliceChain stream_;
  SliceChain stored_;             ///< sorted by sequence; may overlap
  SliceChain kept_;               ///< what is lent
  SliceNode* pending_ = nullptr;  ///< last node of the stream, to be filled from staging_
  MutableSlice staging_;
  std::uint32_t size_ = 0;
  std::uint32_t pinned_ = 0;
  std::uint32_t lent_ = 0;
};

}  // namespace mirage::net::tcp
