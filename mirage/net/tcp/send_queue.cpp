// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/net/tcp/send_queue.hpp>

namespace mirage::net::tcp {

void SendQueue::seal() noexcept {
  if (pending_ == nullptr) return;
  pending_->slice = std::move(staging_).freeze();
  pinned_ += pending_->slice.pinned();
  pending_ = nullptr;
}

std::uint32_t SendQueue::push(NodePool& nodes, BufferPool& buffers, const Slice& slice) noexcept {
  if (slice.empty()) return 0;
  if (wastes(slice)) return append(nodes, buffers, slice.bytes());
  seal();
  SliceNode* node = nodes.take(Slice{slice});
  if (node == nullptr) return 0;
  if (chain_.empty() || chain_.last()->slice.block() != slice.block()) pinned_ += slice.pinned();
  chain_.push_back(node);
  size_ += slice.size();
  return slice.size();
}

std::uint32_t SendQueue::append(NodePool& nodes, BufferPool& buffers, Bytes bytes) noexcept {
  std::uint32_t taken = 0;
  while (taken < bytes.size()) {
    if (pending_ == nullptr || staging_.tailroom() == 0) {
      seal();
      const auto allocate = [&](std::size_t capacity) noexcept {
        const std::size_t wanted = std::min(bytes.size() - taken, capacity);
        // An empty queue may always begin: it has no acknowledgement to wait for.
        return size_ == 0 ? buffers.allocate(wanted, 0) : buffers.allocate_sparing(wanted, 0);
      };
      MutableSlice block;
      // Much text in large blocks: more small ones than a frame has pieces would be copied once more to leave. Not
      // where the pool would have to refuse one: small ones do as well.
      const bool much = bytes.size() - taken > large_capacity / 2;
      if (much && buffers.available() >= large_capacity + sizeof(BufferBlock)) block = allocate(large_capacity);
      if (!block) block = allocate(frame_capacity);
      if (!block) return taken;
      SliceNode* node = nodes.take({});
      if (node == nullptr) return taken;
      staging_ = std::move(block);
      chain_.push_back(node);
      pending_ = node;
    }
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size() - taken, staging_.tailroom()));
    std::memcpy(staging_.grow_back(count).data(), bytes.data() + taken, count);
    taken += count;
    size_ += count;
  }
  return taken;
}

void SendQueue::drop_first(NodePool& nodes) noexcept {
  SliceNode* node = chain_.pop_front();
  if (node == pending_) {
    pending_ = nullptr;
    staging_ = MutableSlice{};
  } else if (chain_.empty() || chain_.first()->slice.block() != node->slice.block()) {
    pinned_ -= node->slice.pinned();
  }
  nodes.give_back(node);
}

/// A block goes on filling up: whoever acknowledges byte by byte must not make us begin one for each.
void SendQueue::release(NodePool& nodes, std::uint32_t count) noexcept {
  size_ -= count;
  cursor_ = nullptr;
  while (count > 0) {
    SliceNode* node = chain_.first();
    const auto size = static_cast<std::uint32_t>(content(*node).size());
    if (count < size) {
      node == pending_ ? staging_.remove_prefix(count) : node->slice.remove_prefix(count);
      return;
    }
    count -= size;
    drop_first(nodes);
  }
}

SliceNode* SendQueue::find(std::uint32_t offset, std::uint32_t& begin) noexcept {
  SliceNode* node = chain_.first();
  begin = 0;
  if (cursor_ != nullptr && cursor_begin_ <= offset) {
    node = cursor_;
    begin = cursor_begin_;
  }
  while (offset - begin >= content(*node).size()) {
    begin += static_cast<std::uint32_t>(content(*node).size());
    node = node->next;
  }
  cursor_ = node;
  cursor_begin_ = begin;
  return node;
}

bool SendQueue::gather(std::uint32_t offset, std::uint32_t length, SliceList& out) noexcept {
  seal();
  std::uint32_t begin = 0;
  for (SliceNode* node = find(offset, begin); length > 0; node = node->next) {
    const Slice part = node->slice.sub(offset - begin, length);
    if (!out.push_back(part)) return false;
    begin += node->slice.size();
    offset += part.size();
    length -= part.size();
  }
  return true;
}

void SendQueue::copy(std::uint32_t offset, MutableBytes out) noexcept {
  if (out.empty()) return;
  std::uint32_t begin = 0;
  for (SliceNode* node = find(offset, begin); !out.empty(); node = node->next) {
    const Bytes all = content(*node);
    const Bytes source = all.subspan(offset - begin);
    const std::size_t count = std::min(source.size(), out.size());
    std::memcpy(out.data(), source.data(), count);
    begin += static_cast<std::uint32_t>(all.size());
    offset += static_cast<std::uint32_t>(count);
    out = out.subspan(count);
  }
}

void SendQueue::clear(NodePool& nodes) noexcept {
  seal();
  chain_.clear(nodes);
  cursor_ = nullptr;
  size_ = pinned_ = 0;
}

}  // namespace mirage::net::tcp
