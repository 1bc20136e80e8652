// SPDX-License-Identifier: ISC
// Intrusive doubly linked list: no allocation, O(1) removal of a node by itself. A node removes itself when destroyed.
#pragma once

namespace mirage {

/// A place in at most one List. `Tag` lets one object be in several lists by inheriting several nodes.
template <class Tag = void>
class ListNode {
 public:
  ListNode() noexcept = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  [[nodiscard]] bool linked() const noexcept { return next_ != nullptr; }
  void unlink() noexcept {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T, class U>
  friend class List;
  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

/// List of T, where T derives from ListNode<Tag>. Owns nothing; must be empty or outlive its nodes.
template <class T, class Tag = void>
class List {
  using Node = ListNode<Tag>;

 public:
  List() noexcept { head_.next_ = head_.previous_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    clear();
    head_.next_ = head_.previous_ = nullptr;
  }

  [[nodiscard]] bool empty() const noexcept { return head_.next_ == &head_; }
  void push_back(T& item) noexcept { insert_before(head_, item); }
  void push_front(T& item) noexcept { insert_before(*head_.next_, item); }
  [[nodiscard]] T* front() noexcept { return empty() ? nullptr : static_cast<T*>(head_.next_); }
  [[nodiscard]] T* back() noexcept { return empty() ? nullptr : static_cast<T*>(head_.previous_); }
  /// The node after `item`, or nullptr at the end.
  [[nodiscard]] T* next(T& item) noexcept {
    Node* following = static_cast<Node&>(item).next_;
    return following == &head_ ? nullptr : static_cast<T*>(following);
  }
  T* pop_front() noexcept {
    T* item = front();
    if (item != nullptr) static_cast<Node*>(item)->unlink();
    return item;
  }
  /// Unlinks every node.
  void clear() noexcept {
    while (pop_front() != nullptr) {
    }
  }
  /// Moves all nodes of `other` to the end of this list.
  void splice_back(List& other) noexcept {
    if (other.empty()) return;
    Node* first = other.head_.next_;
    Node* last = other.head_.previous_;
    other.head_.next_ = other.head_.previous_ = &other.head_;
    Node* tail = head_.previous_;
    tail->next_ = first;
    first->previous_ = tail;
    last->next_ = &head_;
    head_.previous_ = last;
  }

 private:
  void insert_before(Node& position, T& item) noexcept {
    Node& node = item;
    node.unlink();
    node.next_ = &position;
    node.previous_ = position.previous_;
    position.previous_->next_ = &node;
    position.previous_ = &node;
  }
  Node head_;
};

}  // namespace mirage
