// SPDX-License-Identifier: ISC
// The B+tree over the cache: steps that never wait. A step that needs a node which is not in memory changes nothing and
// says which (Fault::miss): the caller loads it and takes the step again.
//
// Nodes are copied on their first change in a transaction (own): pages that the last commit refers to are never
// written.
#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include <mirage/module/kv.hpp>
#include <mirage/store/tree/cache.hpp>
#include <mirage/store/tree/space.hpp>

namespace mirage::store::tree {

/// Why a step did not happen.
struct Fault {
  bool is_miss = false;
  Ref ref;                 // of the missing node
  std::uint8_t level = 0;  // at which it is
  KvError error = KvError::io;
  Fault(KvError what) noexcept : error(what) {}  // NOLINT: implicit, as errors are
  Fault(const Ref& missing, std::uint8_t at) noexcept : is_miss(true), ref(missing), level(at) {}
};
template <class T>
using Step = Result<T, Fault>;

/// From the root to a place in a leaf, which may be behind its last cell.
struct Path {
  static constexpr std::size_t maximum = 20;  // levels: at least three children each
  struct Place {
    Node node;
    Cache::Index frame = Cache::none;
    std::size_t index = 0;
  };
  std::array<Place, maximum> places;
  std::size_t size = 0;
  bool is_own = false;  // of the transaction under way, all of them
  Path() noexcept = default;
  Path(const Path& other) noexcept { *this = other; }
  /// What is behind the leaf is nobody's.
  Path& operator=(const Path& other) noexcept {
    std::copy_n(other.places.begin(), other.size, places.begin());
    size = other.size;
    is_own = other.is_own;
    return *this;
  }
  [[nodiscard]] Place& leaf() noexcept { return places[size - 1]; }
  [[nodiscard]] bool at_cell() noexcept { return size != 0 && leaf().index < leaf().node.count(); }
  [[nodiscard]] std::string_view key() noexcept { return leaf().node.key(leaf().index); }
  [[nodiscard]] Bytes value() noexcept { return leaf().node.value(leaf().index); }
  /// What the keys behind the leaf are not before; nullopt: there are none.
  [[nodiscard]] std::optional<std::string_view> bound() const noexcept;
};

class Btree {
 public:
  [[nodiscard]] Cache& cache() noexcept { return cache_; }
  [[nodiscard]] Space& space() noexcept { return space_; }

  /// A step begins: nodes of the one before may go.
  void begin_step() noexcept { cache_.begin_step(); }
  /// The node that the reference means.
  [[nodiscard]] Step<Path::Place> visit(const Ref& ref, std::uint8_t level) noexcept;
  /// To the first cell whose key is not before `key`, in the leaf where it would stand.
  [[nodiscard]] Step<void> seek(const Root& root, std::string_view key, Path& path) noexcept;
  /// The leaf and the place in it of seek(), for those who do not go on from there. Precondition: the root has levels.
  [[nodiscard]] Step<Path::Place> seek_leaf(const Root& root, std::string_view key) noexcept;
  /// From behind a leaf's last cell to the first of the next leaf. False at the end.
  [[nodiscard]] Step<bool> settle(Path& path) noexcept;
  [[nodiscard]] Step<bool> next(Path& path) noexcept;
  /// To the cell before. False at the beginning.
  [[nodiscard]] Step<bool> previous(Path& path) noexcept;

  // Changes; all within a transaction. Each is a step of its own, whole or (with a miss) nothing; any other error
  // leaves the transaction fit for abort() only.
  void begin(std::uint64_t generation) noexcept;
  /// seek() in the tree that the transaction makes, for put_at(): short where keys come in their order.
  [[nodiscard]] Step<void> seek_to_put(const Root& root, std::string_view key, Path& path) noexcept;
  [[nodiscard]] Step<void> put(Root& root, std::string_view key, Bytes value) noexcept;
  /// The same within a step that has come to where the key is or would stand: seek_to_put(root, key, path). It does not
  /// miss.
  [[nodiscard]] Step<void> put_at(Root& root, Path& path, std::string_view key, Bytes value) noexcept;
  /// not_found when there is no such key.
  [[nodiscard]] Step<void> erase(Root& root, std::string_view key) noexcept;
  /// Pages for data: a step of its own begins before it. corrupt: the tree uses one that no record names.
  [[nodiscard]] Result<Run, KvError> allocate(std::uint32_t count) noexcept;
  [[nodiscard]] Result<void, KvError> give_up(const Run& run) noexcept;
  /// What new pages are for. Some are kept for what gives up as many of them as it takes, of these half for deleting
  /// alone: that needs pages, too, before it gives up old ones.
  enum class Purpose : std::uint8_t { grow, replace, remove };
  void set_purpose(Purpose purpose) noexcept { purpose_ = purpose; }
  /// How much was changed since begin(): grows with every change.
  [[nodiscard]] std::uint64_t changes() const noexcept { return changes_; }
  /// Pages that the transaction took less those that it gave up.
  [[nodiscard]] std::int64_t balance() const noexcept { return balance_; }
  /// Computes the checksums of changed nodes, from the leaves up. corrupt: one of them is not there, which only damage
  /// that somebody made with intent can do.
  [[nodiscard]] Result<void, KvError> seal(const Id& id, Root& root) noexcept;
  /// The same when there are no more changes: pages that were kept for them are free again.
  [[nodiscard]] Result<void, KvError> complete(const Id& id, Root& root) noexcept;
  /// The pages that the transaction gave up, to be released when nobody sees them.
  [[nodiscard]] RunList& given_up() noexcept { return given_up_; }
  void finish() noexcept { fresh_.clear(); }
  /// As if begin() had just been called; the root is the caller's.
  void abort() noexcept;

 private:
  [[nodiscard]] bool follows_last(std::string_view key) noexcept;
  [[nodiscard]] Step<void> descend(Path& path, std::size_t from, std::string_view key) noexcept;
  /// Down along the first or last cells.
  [[nodiscard]] Step<void> descend_edge(Path& path, std::size_t from, bool last) noexcept;
  static constexpr std::uint32_t reserved_pages = 16;
  [[nodiscard]] Result<Run, KvError> allocate_node(std::uint8_t level) noexcept;
  /// A new node, with anything in it.
  [[nodiscard]] Step<Path::Place> make(std::uint8_t level) noexcept;
  [[nodiscard]] Step<Path::Place> make_empty(std::uint8_t level) noexcept;
  [[nodiscard]] Step<Ref> own(Path::Place& place, const Ref& ref) noexcept;
  [[nodiscard]] Step<void> own_path(Root& root, Path& path) noexcept;
  [[nodiscard]] Step<void> discard(const Path::Place& place) noexcept;
  [[nodiscard]] Step<void> add_cell(Root& root, Path& path, std::size_t depth, std::string_view key,
                                    Bytes value) noexcept;
  struct Cell {
    std::size_t index;
    std::string_view key;
    Bytes value;
  };
  void distribute(Node& left, Node& right, const Cell& added, std::size_t point) noexcept;
  [[nodiscard]] Step<void> split(Root& root, Path& path, std::size_t depth, std::string_view key, Bytes value) noexcept;
  [[nodiscard]] Step<void> add_root(Root& root, const Ref& left, std::string_view key, const Ref& right) noexcept;
  /// Loads every sibling that the removal will need. How many levels it goes up does not matter to the caller.
  [[nodiscard]] Step<void> plan_removal(Path& path) noexcept;
  [[nodiscard]] Step<void> remove_cell(Root& root, Path& path, std::size_t depth) noexcept;
  [[nodiscard]] Step<void> rebalance(Root& root, Path& path, std::size_t depth) noexcept;
  [[nodiscard]] Step<void> merge(Path& path, std::size_t depth, std::size_t left) noexcept;
  [[nodiscard]] Step<void> shrink_root(Root& root) noexcept;
  [[nodiscard]] Result<void, KvError> seal_node(const Id& id, Ref& ref, std::uint8_t level) noexcept;

  Cache cache_;
  Space space_;
  std::uint64_t generation_ = 0;
  std::uint64_t changes_ = 0;
  std::int64_t balance_ = 0;
  Purpose purpose_ = Purpose::grow;
  RunList fresh_;     // taken by this transaction
  RunList given_up_;  // by this transaction
  Run reserve_;       // of fresh_, for branches
  /// Where the last put() went, while every node on the way is as it was: dirty, and so where it was. Else empty.
  Path last_;
  std::array<std::byte, page_size> scratch_{};
};

}  // namespace mirage::store::tree
