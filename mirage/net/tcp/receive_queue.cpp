// SPDX-License-Identifier: ISC
#include <cstring>
#include <utility>

#include <mirage/net/tcp/receive_queue.hpp>

namespace mirage::net::tcp {

namespace {
constexpr std::uint32_t block_bytes = frame_capacity + sizeof(BufferBlock);
}

void ReceiveQueue::seal() noexcept {
  if (pending_ == nullptr) return;
  pending_->slice = std::move(staging_).freeze();
  pending_ = nullptr;
}

void ReceiveQueue::push(SliceNode* node) noexcept {
  size_ += node->slice.size();
  pinned_ += node->slice.pinned();
  stream_.push_back(node);
}

bool ReceiveQueue::copy_together(NodePool& nodes, BufferPool& buffers, Bytes bytes) noexcept {
  if (pending_ == nullptr || staging_.tailroom() < bytes.size()) {
    seal();
    MutableSlice block = buffers.allocate(bytes.size(), 0);
    if (!block) return false;
    SliceNode* node = nodes.take({});
    if (node == nullptr) return false;
    staging_ = std::move(block);
    stream_.push_back(node);
    pending_ = node;
    pinned_ += block_bytes;
  }
  std::memcpy(staging_.grow_back(static_cast<std::uint32_t>(bytes.size())).data(), bytes.data(), bytes.size());
  size_ += static_cast<std::uint32_t>(bytes.size());
  return true;
}

/// A small slice that is all of the stream, and nothing but its own block.
void ReceiveQueue::copy_first(NodePool& nodes, BufferPool& buffers) noexcept {
  SliceNode* first = stream_.first();
  if (pending_ != nullptr || first != stream_.last() || first->slice.size() > copied_size) return;
  (void)stream_.pop_front();
  size_ -= first->slice.size();
  pinned_ -= first->slice.pinned();
  if (copy_together(nodes, buffers, first->slice.bytes())) return nodes.give_back(first);
  push(first);
}

void ReceiveQueue::append_slice(NodePool& nodes, BufferPool& buffers, Slice&& slice) noexcept {
  // One alone takes a block in either case: its own, until another one follows.
  if (slice.size() <= copied_size && !stream_.empty()) {
    copy_first(nodes, buffers);
    if (copy_together(nodes, buffers, slice.bytes())) return;
  }
  seal();
  push(nodes.take(std::move(slice)));
}

void ReceiveQueue::append(NodePool& nodes, BufferPool& buffers, SliceList&& payload) noexcept {
  for (Slice& slice : payload) append_slice(nodes, buffers, std::move(slice));
  payload.clear();
  if (pinned_ > 16 * block_bytes && pinned_ / 4 > size_) compact(nodes, buffers);
}

void ReceiveQueue::compact(NodePool& nodes, BufferPool& buffers) noexcept {
  seal();
  SliceChain old = stream_;
  stream_ = {};
  while (!old.empty()) {
    SliceNode* node = old.pop_front();
    // Only whole slices move, so a block that is full with them ends; what cannot be copied stays as it is.
    const std::uint32_t size = node->slice.size();
    size_ -= size;
    pinned_ -= node->slice.pinned();
    if (size <= frame_capacity / 2 && copy_together(nodes, buffers, node->slice.bytes())) {
      nodes.give_back(node);
    } else {
      seal();
      push(node);
    }
  }
}

void ReceiveQueue::store(NodePool& nodes, SliceList&& payload, Sequence sequence) noexcept {
  SliceNode* position = stored_.last();  // mostly the place is there
  if (position != nullptr && position->sequence > sequence) position = nullptr;
  for (Slice& slice : payload) {
    const std::uint32_t size = slice.size();
    pinned_ += slice.pinned();
    SliceNode* node = nodes.take(std::move(slice));
    node->sequence = sequence;
    // A slice of the same segment may start behind others that overlap it.
    while (SliceNode* next = position == nullptr ? stored_.first() : position->next) {
      if (next->sequence > sequence) break;
      position = next;
    }
    stored_.insert_after(position, node);
    position = node;
    sequence += size;
  }
  payload.clear();
}

void ReceiveQueue::deliver_stored(NodePool& nodes, Sequence position, Sequence end) noexcept {
  while (!stored_.empty() && stored_.first()->sequence <= position) {
    SliceNode* node = stored_.pop_front();
    pinned_ -= node->slice.pinned();
    node->slice.remove_prefix(distance(node->sequence, position));
    if (position + node->slice.size() > end) node->slice.remove_suffix(distance(end, position + node->slice.size()));
    if (node->slice.empty()) {
      nodes.give_back(node);
      continue;
    }
    position += node->slice.size();
    seal();
    push(node);
  }
}

void ReceiveQueue::drop_stored(NodePool& nodes) noexcept {
  while (!stored_.empty()) {
    SliceNode* node = stored_.pop_front();
    pinned_ -= node->slice.pinned();
    nodes.give_back(node);
  }
}

SliceList ReceiveQueue::take(NodePool& nodes, bool lend) noexcept {
  seal();
  [[clang::uninitialized]] SliceList list;
  while (!stream_.empty() && !list.full()) {
    SliceNode* node = stream_.pop_front();
    size_ -= node->slice.size();
    pinned_ -= node->slice.pinned();
    (void)list.push_back(node->slice);
    if (lend && node->slice.pinned() > 0 && !repeats_kept(node->slice)) {
      lent_ += node->slice.pinned();
      kept_.push_back(node);
    } else {
      nodes.give_back(node);
    }
  }
  return list;
}

/// Neighbours of one block count once: two references of ours would seem to be somebody's.
bool ReceiveQueue::repeats_kept(const Slice& slice) const noexcept {
  return !kept_.empty() && kept_.last()->slice.block() == slice.block();
}

std::uint32_t ReceiveQueue::settle(NodePool& nodes) noexcept {
  constexpr unsigned looked_at = 32;  // mostly what was taken first is let go first
  std::uint32_t settled = 0;
  for (unsigned i = 0; i < looked_at && !kept_.empty(); ++i) {
    SliceNode* node = kept_.pop_front();
    if (node->slice.unique() || repeats_kept(node->slice)) {
      settled += node->slice.pinned();
      nodes.give_back(node);
    } else {
      kept_.push_back(node);
    }
  }
  lent_ -= settled;
  return settled;
}

std::uint32_t ReceiveQueue::forget_lent(NodePool& nodes) noexcept {
  kept_.clear(nodes);
  return std::exchange(lent_, 0);
}

void ReceiveQueue::clear(NodePool& nodes) noexcept {
  seal();
  stream_.clear(nodes);
  stored_.clear(nodes);
  size_ = pinned_ = 0;
}

}  // namespace mirage::net::tcp
