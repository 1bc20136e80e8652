// SPDX-License-Identifier: ISC
// Nodes of the connections' queues: from a bounded pool with a free list, so that no queue allocates by itself and an
// idle connection holds none.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include <mirage/base/buffer.hpp>
#include <mirage/net/tcp/sequence.hpp>

namespace mirage::net::tcp {

struct SliceNode {
  Slice slice;
  Sequence sequence;  ///< of the first byte; used by stored segments only
  SliceNode* next = nullptr;
};

class NodePool {
 public:
  explicit NodePool(std::uint32_t bound) noexcept : bound_(bound) {}
  NodePool(const NodePool&) = delete;
  NodePool& operator=(const NodePool&) = delete;
  ~NodePool() {
    while (free_ != nullptr) ::operator delete(std::exchange(free_, free_->next));
  }

  /// Makes nodes for whatever arrives next, as far as the bound and memory allow.
  void prepare() noexcept {
    while (made_ - used_ <= SliceList::capacity && made_ < bound_) {
      void* memory = ::operator new(sizeof(SliceNode), std::nothrow);
      if (memory == nullptr) return;
      free_ = new (memory) Free{free_};
      ++made_;
    }
  }
  /// Whether the next `count` nodes can be taken without failing.
  [[nodiscard]] bool has(std::uint32_t count) const noexcept { return count <= made_ - used_; }
  /// Null at the bound or without memory; `slice` is untouched then.
  [[nodiscard]] SliceNode* take(Slice&& slice) noexcept {
    if (free_ == nullptr) prepare();
    if (free_ == nullptr) return nullptr;
    void* memory = std::exchange(free_, free_->next);
    ++used_;
    auto* node = new (memory) SliceNode;
    node->slice = std::move(slice);
    return node;
  }
  void give_back(SliceNode* node) noexcept {
    node->~SliceNode();
    free_ = new (static_cast<void*>(node)) Free{free_};
    --used_;
  }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }

 private:
  struct Free {
    Free* next;
  };
  std::uint32_t bound_;
  std::uint32_t used_ = 0;
  std::uint32_t made_ = 0;  ///< used, and free
  Free* free_ = nullptr;
};

/// First in, first out chain of nodes.
class SliceChain {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] SliceNode* first() const noexcept { return first_; }
  [[nodiscard]] SliceNode* last() const noexcept { return last_; }
  void push_back(SliceNode* node) noexcept {
    node->next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = node;
    last_ = node;
  }
  /// Puts `node` behind `position`; at the front when that is null.
  void insert_after(SliceNode* position, SliceNode* node) noexcept {
    SliceNode*& link = position == nullptr ? first_ : position->next;
    node->next = link;
    link = node;
    if (node->next == nullptr) last_ = node;
  }
  /// Precondition: not empty.
  SliceNode* pop_front() noexcept {
    SliceNode* node = first_;
    first_ = node->next;
    if (first_ == nullptr) last_ = nullptr;
    return node;
  }
  void clear(NodePool& pool) noexcept {
    while (!empty()) pool.give_back(pop_front());
  }

 private:
  SliceNode* first_ = nullptr;
  SliceNode* last_ = nullptr;
};

}  // namespace mirage::net::tcp
