// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/store/tree/btree.hpp>

namespace mirage::store::tree {

std::optional<std::string_view> Path::bound() const noexcept {
  for (std::size_t depth = size; depth-- > 1;) {
    const Place& parent = places[depth - 1];
    if (parent.index + 1 < parent.node.count()) return parent.node.key(parent.index + 1);
  }
  return std::nullopt;
}

Step<Path::Place> Btree::visit(const Ref& ref, std::uint8_t level) noexcept {
  const Cache::Index frame = cache_.find(ref.number(), level > 0 ? Cache::branch_chances : Cache::leaf_chances);
  if (frame == Cache::none) return Failure{Fault{ref, level}};
  // The caller's levels come from the root; a node in memory was checked against its own reference, which in a forged
  // tree is another one than this.
  const Node node = cache_.node(frame);
  if (!cache_.holds(frame, ref) || node.level() != level) return Failure{Fault{KvError::corrupt}};
  return Path::Place{.node = node, .frame = frame, .index = 0};
}

Step<void> Btree::descend(Path& path, std::size_t from, std::string_view key) noexcept {
  for (path.size = from; path.places[path.size - 1].node.level() > 0; ++path.size) {
    Path::Place& parent = path.places[path.size - 1];
    parent.index = parent.node.child_index(key);
    MIRAGE_TRY(path.places[path.size], visit(parent.node.child(parent.index), parent.node.level() - 1));
  }
  path.leaf().index = path.leaf().node.lower_bound(key);
  return {};
}

Step<void> Btree::descend_edge(Path& path, std::size_t from, bool last) noexcept {
  for (path.size = from; path.places[path.size - 1].node.level() > 0; ++path.size) {
    Path::Place& parent = path.places[path.size - 1];
    MIRAGE_TRY(path.places[path.size], visit(parent.node.child(parent.index), parent.node.level() - 1));
    Path::Place& child = path.places[path.size];
    child.index = last ? child.node.count() - 1 : 0;
  }
  return {};
}

Step<void> Btree::seek(const Root& root, std::string_view key, Path& path) noexcept {
  path.size = 0;
  path.is_own = false;
  if (root.levels == 0) return {};
  if (root.levels > Path::maximum) return Failure{Fault{KvError::corrupt}};
  MIRAGE_TRY(path.places[0], visit(root.ref, static_cast<std::uint8_t>(root.levels - 1)));
  return descend(path, 1, key);
}

Step<Path::Place> Btree::seek_leaf(const Root& root, std::string_view key) noexcept {
  MIRAGE_TRY(Path::Place place, visit(root.ref, static_cast<std::uint8_t>(root.levels - 1)));
  while (place.node.level() > 0) {
    const Ref child = place.node.child(place.node.child_index(key));
    MIRAGE_TRY(place, visit(child, place.node.level() - 1));
  }
  place.index = place.node.lower_bound(key);
  return place;
}

Step<bool> Btree::settle(Path& path) noexcept {
  if (path.size == 0) return false;
  if (path.at_cell()) return true;
  for (std::size_t depth = path.size - 1; depth > 0; --depth) {
    Path::Place& parent = path.places[depth - 1];
    if (parent.index + 1 == parent.node.count()) continue;
    ++parent.index;
    MIRAGE_CHECK(descend_edge(path, depth, false));
    return true;
  }
  return false;
}

Step<bool> Btree::next(Path& path) noexcept {
  ++path.leaf().index;
  return settle(path);
}

Step<bool> Btree::previous(Path& path) noexcept {
  if (path.size == 0) return false;
  if (path.leaf().index > 0) {
    --path.leaf().index;
    return true;
  }
  for (std::size_t depth = path.size - 1; depth > 0; --depth) {
    Path::Place& parent = path.places[depth - 1];
    if (parent.index == 0) continue;
    --parent.index;
    MIRAGE_CHECK(descend_edge(path, depth, true));
    return true;
  }
  return false;
}

void Btree::begin(std::uint64_t generation) noexcept {
  generation_ = generation;
  changes_ = 0;
  balance_ = 0;
  purpose_ = Purpose::grow;
  last_.size = 0;
}

Result<Run, KvError> Btree::allocate(std::uint32_t count) noexcept {
  const std::uint64_t kept = std::clamp<std::uint64_t>(space_.pages() / 16, 4, 64);
  const std::uint64_t floor = purpose_ == Purpose::grow ? kept : purpose_ == Purpose::replace ? kept / 2 : 0;
  const std::uint64_t spare = space_.free_pages();
  if (spare <= floor) return Failure{KvError::no_space};
  const Run run = space_.allocate(static_cast<std::uint32_t>(std::min<std::uint64_t>(count, spare - floor)));
  if (run.count == 0) return Failure{KvError::no_space};
  if (!fresh_.add(run.first, run.count)) {
    space_.release(run);
    return Failure{KvError::no_memory};
  }
  ++changes_;
  // What was there in an earlier life. A forged tree may have given up what it uses.
  for (std::uint32_t page = run.first; page < run.first + run.count; ++page) {
    if (cache_.is_busy(page)) return Failure{KvError::corrupt};
    cache_.drop(page);
  }
  balance_ += run.count;
  return run;
}

/// A page. Leaves of a large transaction may be written before its branches: each kind lies side by side.
Result<Run, KvError> Btree::allocate_node(std::uint8_t level) noexcept {
  constexpr std::uint64_t large = 64;
  const bool apart = level > 0 && changes_ > large && space_.free_pages() > space_.pages() / 4;
  if (!apart) return allocate(1);
  if (reserve_.count == 0) {
    MIRAGE_TRY(reserve_, allocate(reserved_pages));
  }
  --reserve_.count;
  return Run{reserve_.first++, 1};
}

Result<void, KvError> Btree::give_up(const Run& run) noexcept {
  ++changes_;
  balance_ -= run.count;
  if (!given_up_.add(run.first, run.count)) return Failure{KvError::no_memory};
  return {};
}

void Btree::abort() noexcept {
  last_.size = 0;
  cache_.drop_dirty();
  // Nodes that were written early are clean; their pages may come back with other content.
  for (const Run& run : fresh_.runs()) {
    for (std::uint32_t page = run.first; page < run.first + run.count; ++page) cache_.drop(page);
  }
  space_.release(fresh_);
  fresh_.clear();
  given_up_.clear();
  reserve_ = {};
  changes_ = 0;
  balance_ = 0;
}

Step<Path::Place> Btree::make(std::uint8_t level) noexcept {
  const Cache::Index frame = cache_.take();
  if (frame == Cache::none) return Failure{Fault{KvError::no_memory}};
  const auto run = allocate_node(level);
  if (!run || !cache_.set_dirty(frame)) {
    cache_.release(frame);
    return Failure{Fault{run ? KvError::no_memory : run.error()}};
  }
  cache_.insert(frame, run->first);
  return Path::Place{.node = cache_.node(frame), .frame = frame, .index = 0};
}

Step<Path::Place> Btree::make_empty(std::uint8_t level) noexcept {
  MIRAGE_TRY(Path::Place place, make(level));
  place.node.reset(level, generation_);
  return place;
}

/// Makes the node this transaction's own; the new reference to it.
Step<Ref> Btree::own(Path::Place& place, const Ref& ref) noexcept {
  ++changes_;
  if (place.node.generation() == generation_) {
    if (!cache_.set_dirty(place.frame)) return Failure{Fault{KvError::no_memory}};
    return Ref::unsealed(ref.number());
  }
  MIRAGE_TRY(Path::Place copy, make(place.node.level()));
  copy.node.copy_from(place.node);
  copy.node.set_generation(generation_);
  copy.index = place.index;
  MIRAGE_CHECK(give_up({ref.number(), 1}));
  cache_.demote(place.frame);
  place = copy;
  return Ref::unsealed(cache_.page(copy.frame));
}

Step<void> Btree::own_path(Root& root, Path& path) noexcept {
  MIRAGE_TRY(root.ref, own(path.places[0], root.ref));
  for (std::size_t depth = 1; depth < path.size; ++depth) {
    Path::Place& parent = path.places[depth - 1];
    MIRAGE_TRY(const Ref ref, own(path.places[depth], parent.node.child(parent.index)));
    parent.node.set_child(parent.index, ref);
  }
  path.is_own = true;
  return {};
}

/// Gives up a node that nothing refers to any more. Precondition: it is this transaction's own.
Step<void> Btree::discard(const Path::Place& place) noexcept {
  const std::uint32_t page = cache_.page(place.frame);
  cache_.drop(page);
  // Only this transaction has seen it: free at once.
  space_.release(Run{page, 1});
  ++changes_;
  --balance_;
  return {};
}

/// Whether the key stands behind the last cell of the leaf that was changed last, and in no other leaf.
bool Btree::follows_last(std::string_view key) noexcept {
  if (last_.size == 0) return false;
  const Node& leaf = last_.leaf().node;
  if (leaf.key(leaf.count() - 1) >= key) return false;
  const auto bound = last_.bound();
  return !bound || key < *bound;
}

Step<void> Btree::seek_to_put(const Root& root, std::string_view key, Path& path) noexcept {
  if (!follows_last(key)) return seek(root, key, path);
  path = last_;
  path.leaf().index = path.leaf().node.count();
  return {};
}

Step<void> Btree::put(Root& root, std::string_view key, Bytes value) noexcept {
  begin_step();
  Path path;
  MIRAGE_CHECK(seek_to_put(root, key, path));
  return put_at(root, path, key, value);
}

Step<void> Btree::put_at(Root& root, Path& path, std::string_view key, Bytes value) noexcept {
  if (root.levels == 0) {
    MIRAGE_TRY(Path::Place leaf, make_empty(0));
    leaf.node.insert(0, key, value);
    root = {Ref::unsealed(cache_.page(leaf.frame)), 1};
    return {};
  }
  ++changes_;
  if (!path.is_own) MIRAGE_CHECK(own_path(root, path));
  Path::Place& leaf = path.leaf();
  if (path.at_cell() && path.key() == key) {
    if (path.value().size() == value.size()) {
      std::ranges::copy(value, leaf.node.mutable_value(leaf.index).begin());
      last_ = path;
      return {};
    }
    leaf.node.erase(leaf.index);
  }
  if (!leaf.node.fits(key.size(), value.size())) {
    last_.size = 0;
    return split(root, path, path.size - 1, key, value);
  }
  leaf.node.insert(leaf.index, key, value);
  last_ = path;
  return {};
}

/// Inserts at path.places[depth].index, of which all above are the transaction's own.
Step<void> Btree::add_cell(Root& root, Path& path, std::size_t depth, std::string_view key, Bytes value) noexcept {
  Path::Place& place = path.places[depth];
  if (!place.node.fits(key.size(), value.size())) return split(root, path, depth, key, value);
  place.node.insert(place.index, key, value);
  return {};
}

namespace {

/// How many of the cells, with a new one at `index`, stay on the left: what is appended opens a node of its own, so
/// that a sequence fills its nodes; else both get about half of the bytes.
std::size_t split_point(const Node& node, std::size_t index, std::size_t size) noexcept {
  if (index == node.count()) return index;
  const std::size_t total = node.used() + size;
  std::size_t left = 0;
  std::size_t cells = 0;
  while (left < total / 2) {
    const std::size_t each = cells == index ? size : node.footprint(cells < index ? cells : cells - 1);
    left += each;
    ++cells;
  }
  return std::clamp<std::size_t>(cells, 1, node.count());
}

/// The shortest key that is after `left` and not after `right`.
std::string_view separator(std::string_view left, std::string_view right) noexcept {
  const auto differ = std::ranges::mismatch(left, right);
  return right.substr(0, static_cast<std::size_t>(differ.in2 - right.begin()) + 1);
}

}  // namespace

/// The node's cells and the new one: `point` of them stay, the others go to the right one, which is empty.
void Btree::distribute(Node& left, Node& right, const Cell& added, std::size_t point) noexcept {
  if (point == left.count() && added.index == point) return right.insert(0, added.key, added.value);
  std::memcpy(scratch_.data(), left.bytes().data(), page_size);
  const Node old{scratch_.data()};
  left.reset(old.level(), generation_);
  for (std::size_t i = 0; i <= old.count(); ++i) {
    Node& to = i < point ? left : right;
    const std::size_t from = i < added.index ? i : i - 1;
    if (i == added.index) {
      to.insert(to.count(), added.key, added.value);
    } else {
      to.insert(to.count(), old.key(from), old.value(from));
    }
  }
}

Step<void> Btree::split(Root& root, Path& path, std::size_t depth, std::string_view key, Bytes value) noexcept {
  Path::Place& place = path.places[depth];
  const bool is_leaf = place.node.level() == 0;
  MIRAGE_TRY(Path::Place right, make_empty(place.node.level()));
  const std::size_t index = place.index;
  const std::size_t point = split_point(place.node, index, Node::footprint(key.size(), value.size()));
  distribute(place.node, right.node, {.index = index, .key = key, .value = value}, point);
  std::array<char, maximum_key> memory;
  const std::string_view first = right.node.key(0);
  const std::string_view between = is_leaf ? separator(place.node.key(place.node.count() - 1), first) : first;
  std::ranges::copy(between, memory.begin());
  const std::string_view up{memory.data(), between.size()};
  const Ref right_ref = Ref::unsealed(cache_.page(right.frame));
  if (depth == 0) return add_root(root, Ref::unsealed(cache_.page(place.frame)), up, right_ref);
  std::array<std::byte, Ref::size> encoded;
  right_ref.store(encoded);
  ++path.places[depth - 1].index;
  return add_cell(root, path, depth - 1, up, encoded);
}

Step<void> Btree::add_root(Root& root, const Ref& left, std::string_view key, const Ref& right) noexcept {
  if (root.levels == Path::maximum) return Failure{Fault{KvError::no_space}};
  MIRAGE_TRY(Path::Place top, make_empty(root.levels));
  std::array<std::byte, Ref::size> encoded;
  left.store(encoded);
  top.node.insert(0, {}, encoded);
  right.store(encoded);
  top.node.insert(1, key, encoded);
  root = {Ref::unsealed(cache_.page(top.frame)), static_cast<std::uint8_t>(root.levels + 1)};
  return {};
}

namespace {

constexpr std::size_t underfull = Node::room / 3;

/// Whether `right` can join `left`, with the key that stands for it in the parent.
bool can_merge(std::size_t left_used, std::size_t right_used, std::string_view key, bool is_leaf) noexcept {
  return left_used + right_used + (is_leaf ? 0 : key.size()) <= Node::room;
}

}  // namespace

Step<void> Btree::plan_removal(Path& path) noexcept {
  for (std::size_t depth = path.size - 1; depth > 0; --depth) {
    const Path::Place& place = path.places[depth];
    const Path::Place& parent = path.places[depth - 1];
    if (place.node.count() == 1) continue;  // it goes altogether
    // A branch loses the cell of the child or, when that joins its left neighbour's, of the one behind: the larger one.
    std::size_t lost = place.node.footprint(place.index);
    if (place.node.level() > 0 && place.index + 1 < place.node.count())
      lost = std::max(lost, place.node.footprint(place.index + 1));
    if (place.node.used() - lost >= underfull || parent.node.count() == 1) return {};
    const std::size_t left = parent.index + 1 < parent.node.count() ? parent.index : parent.index - 1;
    const std::size_t other = left == parent.index ? left + 1 : left;
    MIRAGE_CHECK(visit(parent.node.child(other), place.node.level()));
    // Whether they will merge is not known yet for branches: the next level's sibling is loaded in any case.
  }
  return {};
}

Step<void> Btree::erase(Root& root, std::string_view key) noexcept {
  begin_step();
  last_.size = 0;
  Path path;
  MIRAGE_CHECK(seek(root, key, path));
  if (!path.at_cell() || path.key() != key) return Failure{Fault{KvError::not_found}};
  MIRAGE_CHECK(plan_removal(path));
  MIRAGE_CHECK(own_path(root, path));
  return remove_cell(root, path, path.size - 1);
}

Step<void> Btree::remove_cell(Root& root, Path& path, std::size_t depth) noexcept {
  Path::Place& place = path.places[depth];
  place.node.erase(place.index);
  if (depth == 0) return shrink_root(root);
  if (place.node.count() == 0) {
    MIRAGE_CHECK(discard(place));
    return remove_cell(root, path, depth - 1);
  }
  if (place.node.used() >= underfull) return shrink_root(root);
  return rebalance(root, path, depth);
}

/// Joins an underfull node with its sibling, if one node can hold both.
Step<void> Btree::rebalance(Root& root, Path& path, std::size_t depth) noexcept {
  Path::Place& place = path.places[depth];
  Path::Place& parent = path.places[depth - 1];
  if (parent.node.count() == 1) return shrink_root(root);
  const std::size_t left = parent.index + 1 < parent.node.count() ? parent.index : parent.index - 1;
  const bool is_left = left == parent.index;
  const bool is_leaf = place.node.level() == 0;
  MIRAGE_TRY(Path::Place other, visit(parent.node.child(is_left ? left + 1 : left), place.node.level()));
  if (!can_merge(place.node.used(), other.node.used(), parent.node.key(left + 1), is_leaf)) return shrink_root(root);
  MIRAGE_CHECK(merge(path, depth, left));
  parent.index = left + 1;
  return remove_cell(root, path, depth - 1);
}

/// Moves the cells of the parent's child `left` + 1 into its child `left`; the reference to the right one is left to be
/// removed.
Step<void> Btree::merge(Path& path, std::size_t depth, std::size_t left) noexcept {
  Path::Place& parent = path.places[depth - 1];
  const std::uint8_t level = path.places[depth].node.level();
  MIRAGE_TRY(Path::Place to, visit(parent.node.child(left), level));
  MIRAGE_TRY(const Path::Place from, visit(parent.node.child(left + 1), level));
  MIRAGE_TRY(const Ref owned, own(to, parent.node.child(left)));
  parent.node.set_child(left, owned);
  for (std::size_t i = 0; i < from.node.count(); ++i) {
    // A branch's first cell begins where its parent says.
    const std::string_view key = i == 0 && level > 0 ? parent.node.key(left + 1) : from.node.key(i);
    to.node.insert(to.node.count(), key, from.node.value(i));
  }
  if (from.node.generation() == generation_) return discard(from);
  MIRAGE_CHECK(give_up({cache_.page(from.frame), 1}));
  return {};
}

/// A root with one child is none; a leaf without cells is the empty tree.
Step<void> Btree::shrink_root(Root& root) noexcept {
  while (root.levels > 0) {
    MIRAGE_TRY(const Path::Place top, visit(root.ref, static_cast<std::uint8_t>(root.levels - 1)));
    if (top.node.count() > (root.levels == 1 ? 0U : 1U)) return {};
    const Root below =
        top.node.count() == 0 ? Root{} : Root{top.node.child(0), static_cast<std::uint8_t>(root.levels - 1)};
    MIRAGE_CHECK(discard(top));
    root = below;
    if (root.levels == 0 || !root.ref.is_unsealed()) return {};
  }
  return {};
}

Result<void, KvError> Btree::seal_node(const Id& id, Ref& ref, std::uint8_t level) noexcept {
  // Dirty nodes are not evicted.
  auto place = visit(ref, level);
  if (!place) return Failure{KvError::corrupt};
  Node& node = place->node;
  for (std::size_t i = 0; level > 0 && i < node.count(); ++i) {
    Ref child = node.child(i);
    if (!child.is_unsealed()) continue;
    MIRAGE_CHECK(seal_node(id, child, level - 1));
    node.set_child(i, child);
  }
  ref = {ref.number(), checksum(seed_of(id, ref.number()), node.bytes())};
  cache_.seal(place->frame, ref.sum);
  return {};
}

Result<void, KvError> Btree::complete(const Id& id, Root& root) noexcept {
  space_.release(reserve_);
  balance_ -= reserve_.count;
  reserve_ = {};
  return seal(id, root);
}

Result<void, KvError> Btree::seal(const Id& id, Root& root) noexcept {
  begin_step();
  last_.size = 0;  // what is written may go
  if (!root.ref.is_unsealed()) return {};
  return seal_node(id, root.ref, static_cast<std::uint8_t>(root.levels - 1));
}

}  // namespace mirage::store::tree
