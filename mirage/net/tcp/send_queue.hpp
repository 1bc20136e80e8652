// SPDX-License-Identifier: ISC
// Bytes that were written and not yet acknowledged. Slices are referenced, never copied; the TCB's sequence numbers
// say which ranges are on their way, so retransmission needs no list of segments. Borrowed bytes are copied into blocks
// that later small writes fill up until a segment takes from them.
#pragma once

#include <mirage/net/tcp/slice_node.hpp>

namespace mirage::net::tcp {

class SendQueue {
 public:
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  /// Takes the whole slice; false, and nothing taken, when there is no node.
  [[nodiscard]] bool push(NodePool& nodes, Slice slice) noexcept;
  /// Copies from the front of `bytes`; how many were taken (fewer than all only without memory).
  [[nodiscard]] std::uint32_t append(NodePool& nodes, BufferPool& buffers, Bytes bytes) noexcept;
  /// Releases `count` bytes at the front: they are acknowledged. Precondition: count <= size().
  void release(NodePool& nodes, std::uint32_t count) noexcept;
  /// References [offset, offset + length); false when `out` has too few places (its content is then unspecified).
  /// Precondition: the range lies within the queue.
  [[nodiscard]] bool gather(std::uint32_t offset, std::uint32_t length, SliceList& out) noexcept;
  /// Copies out.size() bytes from `offset` on. Precondition as above.
  void copy(std::uint32_t offset, MutableBytes out) noexcept;
  void clear(NodePool& nodes) noexcept;

 private:
  /// Ends filling up the last block. Needs no node: one was taken when the block was begun.
  void seal() noexcept;
  /// The node that holds byte `offset`, and where that node begins.
  SliceNode* find(std::uint32_t offset, std::uint32_t& begin) noexcept;

  SliceChain chain_;
  SliceNode* pending_ = nullptr;  ///< last node of the chain, to be filled from staging_
  MutableSlice staging_;
  SliceNode* cursor_ = nullptr;  ///< where the last search ended: sending goes forward
  std::uint32_t cursor_begin_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace mirage::net::tcp
