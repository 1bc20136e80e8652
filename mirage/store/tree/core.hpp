// SPDX-License-Identifier: ISC
// What the parts of the tree store share: the device, the B+tree, and the states (views) that readers may still see.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include <mirage/async/quick.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/kv.hpp>
#include <mirage/store/disk.hpp>
#include <mirage/store/tree/btree.hpp>
#include <mirage/store/tree/record.hpp>

namespace mirage::store::tree {

/// A callable that somebody else owns, for steps that are handed to a coroutine.
class StepFunction {
 public:
  template <class F>
  StepFunction(F& function) noexcept  // NOLINT: implicit on purpose
      : object_(&function), call_([](void* object) noexcept -> Step<void> { return (*static_cast<F*>(object))(); }) {}
  Step<void> operator()() const noexcept { return call_(object_); }

 private:
  void* object_;
  Step<void> (*call_)(void*) noexcept;
};

/// A state. Pages that later ones gave up are held by the oldest state that has them.
struct View : ListNode<> {
  Superblock state;
  std::uint32_t references = 0;
  RunList held;  ///< given up by the commit that followed this state
};

struct Counters {
  std::uint64_t operations = 0;     ///< changes that were asked for
  std::uint64_t commits = 0;        ///< that reached the device
  std::uint64_t stages = 0;         ///< states that wait for the next commit
  std::uint64_t rollbacks = 0;      ///< transactions that were taken again without an operation that failed
  std::uint64_t flushes = 0;        ///< of the device
  std::uint64_t durable = 0;        ///< superblocks that needed none (FUA)
  std::uint64_t node_reads = 0;     ///< nodes that were not in memory
  std::uint64_t ahead = 0;          ///< changes whose nodes were asked for before their turn
  std::uint64_t data_hits = 0;      ///< single pages of data that were
  std::uint64_t pages_written = 0;  ///< nodes, data and superblocks
  std::uint64_t writes = 0;         ///< requests to the device
  std::uint64_t corrupt = 0;        ///< pages that did not match their checksum
};

class Core {
 public:
  /// Of one request.
  static constexpr std::size_t staging_pages = 16;
  static constexpr std::size_t maximum_lanes = 8;
  /// Snapshots and readers at the same time.
  static constexpr std::size_t maximum_views = 256;

  Core(Shard& shard, Disk& device) noexcept : shard_(shard), device_(device) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] Disk& device() noexcept { return device_; }
  [[nodiscard]] Btree& tree() noexcept { return tree_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  /// The last state, committed or staged; nullptr before open().
  [[nodiscard]] View* current() noexcept { return views_.back(); }
  /// The last committed state, whose pages nobody writes: the device comes back to it after a power cut.
  [[nodiscard]] const Superblock& committed() const noexcept { return committed_->state; }
  [[nodiscard]] bool is_ahead() noexcept { return current() != committed_; }
  /// Runs of pages that the next commit gives back, unless snapshots hold them.
  [[nodiscard]] std::size_t held_runs() const noexcept { return committed_->held.runs().size(); }
  [[nodiscard]] const Superblock& state() noexcept { return current()->state; }
  /// 64 KiB, page-aligned, for the one who writes; or while the store is opened.
  [[nodiscard]] MutableBytes staging() noexcept { return lane(0); }
  /// The same for each of the requests that are written at a time: more than one where the device has a queue and the
  /// cache is large beside them. The first is staging().
  [[nodiscard]] MutableBytes lane(std::size_t index) noexcept {
    return {staging_.get() + index * staging_pages * page_size, staging_pages * page_size};
  }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

  /// Memory for cache and buffers.
  [[nodiscard]] bool create(std::size_t cache_pages) noexcept;
  [[nodiscard]] bool is_created() const noexcept { return staging_ != nullptr; }
  /// Makes `view` the current state.
  void publish(std::unique_ptr<View> view, bool is_committed) noexcept;
  /// States that are kept.
  [[nodiscard]] std::size_t view_count() noexcept;
  void retain(View& view) noexcept { ++view.references; }
  void release(View& view) noexcept;

  /// Takes the step until it does not miss, loading what it misses.
  Task<Result<void, KvError>> attempt(StepFunction step);
  Task<Result<void, KvError>> load(Ref ref, std::uint8_t level);
  /// Pages as they are on the disk.
  Quick<Result<void, KvError>> read_pages(std::uint32_t page, MutableBytes bytes);
  /// A data page, checked.
  [[nodiscard]] bool matches(std::uint32_t page, Bytes bytes, std::uint64_t sum) noexcept;
  /// The large value that was found last: one that is read in pieces is looked up once. nullptr: not this one.
  [[nodiscard]] const NameRecord* recall(const Root& root, std::string_view key) const noexcept {
    const bool same = recent_.root.page == root.ref.page && recent_.root.sum == root.ref.sum;
    // None yet: that is the root of the empty store.
    return recent_.record.is_object && same && recent_.key() == key ? &recent_.record : nullptr;
  }
  /// `root`: of a committed state; its checksum tells it from every other one.
  void remember(const Root& root, std::string_view key, const NameRecord& record) noexcept;
  /// A page of a large value that is in the store, and what it must hold.
  struct PageAt {
    std::uint32_t page;
    std::uint64_t sum;
  };
  /// A data page that is in memory, until the next step; empty: it is not.
  [[nodiscard]] Bytes kept(const PageAt& at) noexcept;
  /// Keeps one, if there is room, that was checked.
  void keep(const PageAt& at, Bytes bytes) noexcept;
  /// Where page `index` of the value that recall() knows was found before; nullptr: not known any more.
  [[nodiscard]] const PageAt* known_place(std::uint32_t index) const noexcept {
    const Place& place = places_[index & (places_.size() - 1)];
    return place.index == index && place.epoch == epoch_ ? &place.at : nullptr;
  }
  void note_place(std::uint32_t index, const PageAt& at) noexcept {
    places_[index & (places_.size() - 1)] = {.index = index, .epoch = epoch_, .at = at};
  }

 private:
  struct Place {
    std::uint32_t index = 0;
    std::uint32_t epoch = 0;  ///< 0: of none
    PageAt at{};
  };
  struct Recent {
    Ref root;
    std::array<char, 128> memory{};
    std::size_t size = 0;
    NameRecord record;
    [[nodiscard]] std::string_view key() const noexcept { return {memory.data(), size}; }
  };
  [[nodiscard]] bool accept(const Ref& ref, std::uint8_t level, Bytes bytes) noexcept;
  Task<Result<void, KvError>> wait_for(Quick<BlockResult> request);
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  Shard& shard_;
  Disk& device_;
  Btree tree_;
  List<View> views_;  // oldest first; the last is current
  View* committed_ = nullptr;
  std::unique_ptr<std::byte[], Free> staging_;
  std::size_t lanes_ = 1;
  Counters counters_;
  Recent recent_;
  Growable<Place> places_;   // by the last bits of their index
  std::uint32_t epoch_ = 1;  // of the places: they are those of recent_
};

/// Keeps a state's pages from being reused.
class ViewRef {
 public:
  ViewRef() noexcept = default;
  ViewRef(Core& core, View& view) noexcept : core_(&core), view_(&view) { core.retain(view); }
  ViewRef(ViewRef&& other) noexcept : core_(std::exchange(other.core_, nullptr)), view_(other.view_) {}
  ViewRef& operator=(ViewRef&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(view_, other.view_);
    return *this;
  }
  ~ViewRef() {
    if (core_ != nullptr) core_->release(*view_);
  }
  [[nodiscard]] Core& core() const noexcept { return *core_; }
  [[nodiscard]] const Superblock& state() const noexcept { return view_->state; }
  [[nodiscard]] View& view() const noexcept { return *view_; }

 private:
  Core* core_ = nullptr;
  View* view_ = nullptr;
};

}  // namespace mirage::store::tree
