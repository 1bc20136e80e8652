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

  /// Whether `count` nodes may be taken now without failing at the bound.
  [[nodiscard]] bool has(std::uint32_t count) const noexcept { return count <= bound_ - used_; }
  /// Null at the bound or without memory; `slice` is untouched then.
  [[nodiscard]] SliceNode* take(Slice&& slice) noexcept {
    if (used_ == bound_) return nullptr;
    void* memory = free_;
    if (free_ != nullptr) {
      free_ = free_->next;
    } else {
      memory = ::operator new(sizeof(SliceNode), std::nothrow);
      if (memory == nullptr) return nullptr;
    }
    ++used_;
    auto* node = new (memory) SliceNode;
    node->slice = std::move(slice);
    return node;
  }
  void give_back(SliceNode* node) noexcept {
    node->~SliceNode();
    auto* free = new (static_cast<void*>(node)) Free;
    free->next = free_;
    free_ = free;
    --used_;
  }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }

 private:
  struct Free {
    Free* next;
  };
  std::uint32_t bound_;
  std::uint32_t used_ = 0;
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
