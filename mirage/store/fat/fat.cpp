// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/fat/fat.hpp>

namespace mirage::store {

using fat::Entry;
using fat::Found;
using fat::Name;
using fat::Place;

Task<Result<void, StartError>> FatCore::start() {
  if (auto writable = check_writable(disk, allow_volatile_, "fat", "fat-allow-volatile"); !writable) {
    co_return Failure{writable.error()};
  }
  changes = true;
  co_return co_await open();
}

namespace {

/// Whether an error leaves an operation's own changes consistent, to be written like those of one that succeeded.
[[nodiscard]] bool is_refusal(KvError error) noexcept {
  return error != KvError::io && error != KvError::corrupt && error != KvError::no_memory &&
         error != KvError::cancelled;
}

}  // namespace

Task<FatCore::Done> FatCore::settle(Done done) {
  if (failed_ || (!done && !is_refusal(done.error()))) {
    forget_changes();
    co_return done;
  }
  if (counted_ && has_info) {
    if (const auto slot = co_await load_changed(layout.info_sector)) emit_info((*slot)->bytes, hint);
  }
  counted_ = false;
  // The operation itself is durable: what is left is clusters to be freed.
  const auto written = co_await write_changes();
  if (!written) forget_changes();
  co_return done;
}

/// The disk is right about what memory has beyond it. Clusters may be lost.
void FatCore::forget_changes() noexcept {
  cache.drop_changes();
  forget_positions();
  hint.free.reset();  // what was dropped was counted
  counted_ = true;
}

Task<FatCore::Done> FatCore::set(std::string_view key, Bytes value) {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (failed_) co_return Failure{KvError::io};
  co_return co_await settle(co_await set_now(key, value));
}

Task<FatCore::Done> FatCore::set_partial(std::string_view key, std::uint64_t offset, Bytes bytes) {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (failed_) co_return Failure{KvError::io};
  co_return co_await settle(co_await set_partial_now(key, offset, bytes));
}

Task<FatCore::Done> FatCore::remove(std::string_view key) {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (failed_) co_return Failure{KvError::io};
  co_return co_await settle(co_await remove_now(key));
}

Task<FatCore::Done> FatCore::rename(std::string_view from, std::string_view to) {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (failed_) co_return Failure{KvError::io};
  co_return co_await settle(co_await rename_now(from, to));
}

Task<Result<Place, KvError>> FatCore::prepare(std::string_view key) {
  if (!valid_key(key)) co_return Failure{KvError::invalid_key};
  if (key.empty()) co_return Failure{KvError::not_a_value};
  auto walked = co_await walk(key);
  if (!walked) co_return walked;
  Place place = *walked;
  if (!place.name) co_return Failure{KvError::invalid_key};
  for (std::string_view rest = place.rest; !rest.empty();) {  // nothing is made for a key that cannot be
    const std::size_t slash = rest.find('/');
    if (!Name::from_key(rest.substr(0, slash))) co_return Failure{KvError::invalid_key};
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  }
  while (!place.rest.empty()) {
    const auto made = co_await make_directory(place.parent, *place.name);
    if (!made) co_return Failure{made.error()};
    place.parent = *made;
    const std::size_t slash = place.rest.find('/');
    place.part = place.rest.substr(0, slash);
    place.rest = slash == std::string_view::npos ? std::string_view{} : place.rest.substr(slash + 1);
    place.name = Name::from_key(place.part);
  }
  if (place.found && place.found->entry.is_directory()) co_return Failure{KvError::not_a_value};
  if (place.found && is_protected(*place.found)) co_return Failure{KvError::read_only};
  co_return place;
}

Task<FatCore::Done> FatCore::set_now(std::string_view key, Bytes value) {
  if (value.size() > maximum_size) co_return Failure{KvError::no_space};
  const auto place = co_await prepare(key);
  if (!place) co_return Failure{place.error()};
  std::uint32_t first = no_cluster;
  if (!value.empty()) {
    const auto chain = co_await allocate(clusters_for(value.size()));
    if (!chain) co_return Failure{chain.error()};
    first = *chain;
    auto done = co_await write_range(first, 0, value, true);
    if (done) done = co_await commit();
    if (!done) co_return done;
  }
  const auto size = static_cast<std::uint32_t>(value.size());
  if (place->found) {
    const auto done = co_await update(*place->found, first, size);
    if (!done) co_return done;
    co_return co_await release(place->found->entry.cluster);
  }
  const auto done = co_await create(place->parent, *place->name, {.cluster = first, .size = size, .stamp = stamp()});
  if (!done && done.error() == KvError::no_space) (void)co_await release(first);
  co_return done;
}

Task<FatCore::Done> FatCore::set_partial_now(std::string_view key, std::uint64_t offset, Bytes bytes) {
  const auto place = co_await walk_to_value(key);
  if (!place) co_return Failure{place.error()};
  const std::uint64_t size = place->found ? place->found->entry.size : 0;
  if (offset > size) co_return Failure{KvError::out_of_range};
  if (bytes.size() > maximum_size - offset) co_return Failure{KvError::no_space};
  if (size == 0) co_return co_await set_now(key, bytes);
  if (bytes.empty()) co_return Done{};
  if (is_protected(*place->found)) co_return Failure{KvError::read_only};
  co_return co_await write_within(*place->found, offset, bytes);
}

/// What is new is written and flushed, then linked, then counted: a chain is never shorter than its file.
Task<FatCore::Done> FatCore::write_within(const Found& found, std::uint64_t offset, Bytes bytes) {
  const std::uint64_t size = std::max<std::uint64_t>(found.entry.size, offset + bytes.size());
  const std::uint32_t have = clusters_for(found.entry.size);
  const std::uint64_t held = std::uint64_t{have} * layout.cluster_size();
  const auto tail = co_await seek(found.entry.cluster, have - 1);
  if (!tail) co_return Failure{tail.error()};
  std::uint32_t more = no_cluster;
  if (size > held) {
    const auto chain = co_await allocate(clusters_for(size) - have);
    if (!chain) co_return Failure{chain.error()};
    more = *chain;
  }
  const auto within =
      static_cast<std::size_t>(offset >= held ? 0 : std::min<std::uint64_t>(bytes.size(), held - offset));
  auto done = co_await write_range(found.entry.cluster, offset, bytes.first(within), false);
  if (done && more != no_cluster) {
    done = co_await write_range(more, offset + within - held, bytes.subspan(within), true);
  }
  if (done) done = co_await commit();
  if (done && more != no_cluster) {
    done = co_await put(*tail, more);
    if (done) done = co_await commit();
  }
  if (done) done = co_await update(found, found.entry.cluster, static_cast<std::uint32_t>(size));
  co_return done;
}

Task<Result<Place, KvError>> FatCore::walk_to_value(std::string_view key) {
  if (!valid_key(key)) co_return Failure{KvError::invalid_key};
  if (key.empty()) co_return Failure{KvError::not_a_value};
  auto place = co_await walk(key);
  if (!place) co_return place;
  if (!place->name) co_return Failure{KvError::invalid_key};
  if (place->found && place->found->entry.is_directory()) co_return Failure{KvError::not_a_value};
  co_return place;
}

Task<FatCore::Done> FatCore::remove_now(std::string_view key) {
  if (!valid_key(key)) co_return Failure{KvError::invalid_key};
  if (key.empty()) {
    while (true) {
      const auto first = co_await first_of(0);
      if (!first) co_return Failure{first.error()};
      if (!*first) co_return Done{};
      const auto done = co_await remove_tree(0, **first);
      if (!done) co_return done;
    }
  }
  const auto place = co_await walk(key);
  if (!place) co_return Failure{place.error() == KvError::not_a_directory ? KvError::not_found : place.error()};
  if (!place->found) co_return Failure{KvError::not_found};
  co_return co_await remove_tree(place->parent, *place->found);
}

/// Removes leaf after leaf, each found anew from the top: no recursion on what the disk says.
Task<FatCore::Done> FatCore::remove_tree(std::uint32_t parent, Found top) {
  constexpr std::uint32_t maximum_depth = maximum_key / 2 + 1;
  while (true) {
    std::uint32_t above = parent;
    Found leaf = top;
    std::uint32_t depth = 0;
    while (leaf.entry.is_directory()) {
      const auto directory = directory_of(leaf.entry);
      if (!directory) co_return Failure{directory.error()};
      if (++depth > maximum_depth) co_return Failure{KvError::corrupt};  // a directory within itself
      const auto first = co_await first_of(*directory);
      if (!first) co_return Failure{first.error()};
      if (!*first) break;
      above = *directory;
      leaf = **first;
    }
    const bool was_top = above == parent && leaf.index == top.index;
    const auto done = co_await remove_one(above, leaf);
    if (!done || was_top) co_return done;
  }
}

Task<FatCore::Done> FatCore::remove_one(std::uint32_t parent, Found found) {
  if (is_protected(found)) co_return Failure{KvError::read_only};
  auto done = co_await erase(parent, found);
  if (done) done = co_await release(found.entry.cluster);
  co_return done;
}

Task<FatCore::Done> FatCore::rename_now(std::string_view from, std::string_view to) {
  const auto old = co_await walk_to_value(from);
  if (!old) co_return Failure{old.error() == KvError::not_a_directory ? KvError::not_found : old.error()};
  if (!old->found) co_return Failure{KvError::not_found};
  if (is_protected(*old->found)) co_return Failure{KvError::read_only};
  const auto target = co_await prepare(to);
  if (!target) co_return Failure{target.error()};
  if (!target->found) co_return co_await rename_new(*old, *target);
  const bool same = target->found->sector == old->found->sector && target->found->index == old->found->index;
  if (same) co_return Done{};  // differs in case at most: the volume keeps the name as it is
  co_return co_await rename_over(*old, *target->found);
}

Task<FatCore::Done> FatCore::rename_over(const Place& from, const Found& to) {
  const Found& old = *from.found;
  if (old.sector == to.sector && old.index / fat::per_unit == to.index / fat::per_unit) {
    const auto slot = co_await load_changed(to.sector);
    if (!slot) co_return Failure{slot.error()};
    Entry::update(entry_bytes(**slot, to.index), old.entry.cluster, old.entry.size, old.entry.stamp);
    auto done = co_await erase(from.parent, old);
    if (done) done = co_await release(to.entry.cluster);
    co_return done;
  }
  const auto copied = co_await copy(old.entry);
  if (!copied) co_return Failure{copied.error()};
  auto done = co_await update(to, *copied, old.entry.size);
  if (done) done = co_await release(to.entry.cluster);
  if (done) done = co_await remove_one(from.parent, old);
  co_return done;
}

Task<FatCore::Done> FatCore::rename_new(const Place& from, const Place& to) {
  const Found old = *from.found;
  if (from.parent == to.parent) {
    const auto where = co_await plan(to.parent, *to.name);
    if (!where) co_return Failure{where.error()};
    const auto replaced = co_await replace_in_unit(from, *to.name, *where);
    if (!replaced) co_return Failure{replaced.error()};
    if (*replaced) co_return Done{};
  }
  const auto copied = co_await copy(old.entry);
  if (!copied) co_return Failure{copied.error()};
  Entry entry = old.entry;
  entry.cluster = *copied;
  entry.lower = 0;
  auto done = co_await create(to.parent, *to.name, entry);
  if (!done && done.error() == KvError::no_space) (void)co_await release(*copied);
  if (done) done = co_await remove_one(from.parent, old);
  co_return done;
}

/// The content in clusters of its own, so that no cluster ever has two owners.
Task<FatCore::Cluster> FatCore::copy(const Entry& entry) {
  if (entry.size == 0) co_return no_cluster;
  const auto first = co_await allocate(clusters_for(entry.size));
  if (!first) co_return first;
  for (std::uint64_t at = 0; at < entry.size;) {
    const auto where = co_await extent(entry, at, largest_read);
    if (!where) co_return Failure{where.error()};
    const auto part = co_await read_range(disk, where->offset, where->size);
    if (!part) co_return Failure{part.error()};
    const auto done = co_await write_range(*first, at, (*part)[0].bytes(), true);
    if (!done) co_return Failure{done.error()};
    at += part->byte_count();
  }
  const auto done = co_await commit();
  if (!done) co_return Failure{done.error()};
  co_return first;
}

}  // namespace mirage::store
