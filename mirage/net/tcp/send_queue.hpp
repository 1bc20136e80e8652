// SPDX-License-Identifier: ISC
// Bytes that were written and not yet acknowledged. Slices are referenced; the TCB's sequence numbers say which ranges
// are on their way, so retransmission needs no list of segments. Borrowed bytes are copied into blocks that later small
// writes fill up until a segment refers to them; so are small slices once the queue pins more than four times its
// bytes: whoever sends back what came in segments of one byte must not fill the pool with their buffers.
#pragma once

#include <mirage/net/tcp/slice_node.hpp>

namespace mirage::net::tcp {

class SendQueue {
 public:
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  /// Memory that the queue keeps alive. Neighbours that share a block count once; static slices pin nothing.
  [[nodiscard]] std::uint32_t pinned() const noexcept { return pinned_; }
  /// Takes the slice, by reference or by a copy; how many bytes were taken (fewer than all only without memory or a
  /// node, 0 where it would be referenced).
  [[nodiscard]] std::uint32_t push(NodePool& nodes, BufferPool& buffers, const Slice& slice) noexcept;
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
  static constexpr std::uint32_t unquestioned = 16 * (frame_capacity + std::uint32_t{sizeof(BufferBlock)});

  /// Ends filling up the last block. Needs no node: one was taken when the block was begun.
  void seal() noexcept;
  [[nodiscard]] bool wastes(const Slice& slice) const noexcept {
    return pinned_ > unquestioned && pinned_ / 4 > size_ && slice.pinned() / 4 > slice.size();
  }
  /// Of a node; the last one may still be filling up.
  [[nodiscard]] Bytes content(const SliceNode& node) const noexcept {
    return &node == pending_ ? staging_.bytes() : node.slice.bytes();
  }
  void drop_first(NodePool& nodes) noexcept;
  /// The node that holds byte `offset`, and where that node begins.
  SliceNode* find(std::uint32_t offset, std::uint32_t& begin) noexcept;

  SliceChain chain_;
  SliceNode* pending_ = nullptr;  ///< last node of the chain, to be filled from staging_
  MutableSlice staging_;
  SliceNode* cursor_ = nullptr;  ///< where the last search ended: sending goes forward
  std::uint32_t cursor_begin_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t pinned_ = 0;
};

}  // namespace mirage::net::tcp
