// SPDX-License-Identifier: ISC
// Nodes in memory: a fixed number of frames, found by page number. A frame is evicted when a hand that goes round has
// taken all its chances, unless it is dirty, or of the step under way: code that looks at nodes does so in steps that
// never wait, and all nodes of one step stay where they are until the next begins. Frames that no node needs hold pages
// of data that were read one by one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include <mirage/store/tree/growable.hpp>
#include <mirage/store/tree/node.hpp>

namespace mirage::store::tree {

class Cache {
 public:
  using Index = std::uint32_t;
  static constexpr Index none = ~Index{0};
  /// A step touches a path and the siblings along it, twice when it splits.
  static constexpr std::size_t minimum_frames = 128;
  /// Rounds without use after which a page goes. A branch is used by a hundred times more keys than a leaf, but of data
  /// larger than memory not within each round, which leaves make short: with one chance a third of them was read again.
  static constexpr std::uint8_t leaf_chances = 1;
  static constexpr std::uint8_t branch_chances = 8;

  /// False: no memory.
  [[nodiscard]] bool create(std::size_t frames) noexcept;
  [[nodiscard]] std::size_t frames() const noexcept { return frames_.size(); }
  [[nodiscard]] std::size_t dirty() const noexcept { return dirty_count_; }

  void begin_step() noexcept { ++step_; }
  /// The page's frame, which then belongs to this step; none when it is not there.
  [[nodiscard]] Index find(std::uint32_t page, std::uint8_t chances = leaf_chances) noexcept {
    for (Index i = buckets_[bucket(page)]; i != none; i = frames_[i].next) {
      if (frames_[i].page != page) continue;
      frames_[i].step = step_;
      frames_[i].chances = std::max(frames_[i].chances, chances);
      return i;
    }
    return none;
  }
  /// The same for a page of data, which is never taken for a node: damage may make one page both.
  [[nodiscard]] Index find_data(std::uint32_t page) noexcept { return find(page | data_bit); }
  /// Whether what is in the frame is what the reference to its page says. Two that differ are damage, too.
  [[nodiscard]] bool holds(Index index, const Ref& ref) const noexcept {
    return frames_[index].sum == ref.sum && frames_[index].sealed != ref.is_unsealed();
  }
  [[nodiscard]] std::byte* data(Index index) noexcept { return memory_.get() + std::size_t{index} * page_size; }
  [[nodiscard]] Node node(Index index) noexcept { return Node{data(index)}; }
  [[nodiscard]] std::uint32_t page(Index index) const noexcept { return frames_[index].page; }

  /// A frame without a page, for this step; none when every one is in use. Give it a page or release() it.
  [[nodiscard]] Index take() noexcept;
  /// Keeps a taken frame from eviction, across steps, until insert() or release(). What is inserted has no checksum
  /// yet.
  void insert(Index index, std::uint32_t page) noexcept;
  /// The same for a page of data.
  void insert_data(Index index, std::uint32_t page, std::uint64_t sum) noexcept {
    insert(index, page | data_bit);
    seal(index, sum);
  }
  /// The checksum of what is in the frame, until that is changed.
  void seal(Index index, std::uint64_t sum) noexcept {
    frames_[index].sum = sum;
    frames_[index].sealed = true;
  }
  /// Whether a page of data that was read is to be kept: while there is room, and where the next frame has no chance
  /// left. One look for a page: of pages that are read in a circle larger than the memory, those that are there are
  /// used again before the rounds come to them, and stay; what is no longer wanted goes in two rounds.
  [[nodiscard]] bool admits_data() noexcept;
  void release(Index index) noexcept;
  /// What took its place is there: it goes before others, though a reader of an older state may still want it.
  void demote(Index index) noexcept { frames_[index].chances = 0; }
  /// Forgets the page, node or data, if it is there.
  void drop(std::uint32_t page) noexcept;
  /// Whether it is there as a node that was changed or that the step under way looks at: one that is in use.
  [[nodiscard]] bool is_busy(std::uint32_t page) const noexcept;

  /// It has no checksum any more. False: no memory to remember it (the frame is as it was).
  [[nodiscard]] bool set_dirty(Index index) noexcept;
  enum class Which : std::uint8_t { all, leaves };
  /// The dirty frames in the order of their pages. Leaves alone, if they are at least a quarter of them: branches are
  /// changed again by most of what follows.
  [[nodiscard]] std::span<const Index> sort_dirty(Which which) noexcept;
  /// Those that sort_dirty() has given, which were `count`, are written.
  void clear_dirty(std::size_t count) noexcept;
  /// Forgets all dirty pages.
  void drop_dirty() noexcept;

 private:
  static constexpr std::uint32_t data_bit = Ref::unsealed_bit;  // beyond every page number
  struct Frame {
    std::uint32_t page = 0;  // 0: none; with data_bit: of data
    Index next = none;
    std::uint64_t step = 0;
    std::uint64_t sum = 0;  // of what is there; 0 while it is not sealed
    bool sealed = false;
    bool dirty = false;
    bool listed = false;  // in dirty_
    bool taken = false;
    std::uint8_t chances = 0;
  };
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  [[nodiscard]] std::size_t bucket(std::uint32_t page) const noexcept {
    return static_cast<std::uint32_t>(page * 0x9e3779b1U) >> shift_;
  }
  /// The next one to look at.
  [[nodiscard]] Index step_hand() noexcept;
  /// Whether it may lose its page, or has none, if it has no chance left.
  [[nodiscard]] bool is_idle(const Frame& frame) const noexcept {
    return !frame.taken && !frame.dirty && (frame.page == 0 || frame.step != step_);
  }
  void unlink(Index index) noexcept;
  void forget(Index index) noexcept;
  std::unique_ptr<std::byte[], Free> memory_;
  Growable<Frame> frames_;
  Growable<Index> buckets_;
  Growable<Index> dirty_;
  std::size_t dirty_count_ = 0;
  std::size_t count_ = 0;  // frames with a page
  std::uint64_t step_ = 1;
  Index hand_ = 0;
  unsigned shift_ = 31;
};

}  // namespace mirage::store::tree
