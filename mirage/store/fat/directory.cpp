// SPDX-License-Identifier: ISC
// The writing store's directory entries.
#include <algorithm>
#include <bitset>

#include <mirage/store/fat/fat.hpp>

namespace mirage::store {

using fat::Entry;
using fat::Found;
using fat::Name;
using fat::Place;

namespace {

/// Looks for a place for `count` entries, in one unit if they fit into one, and for the numbers of short names that
/// are taken.
class Planner final : public fat::Visitor {
 public:
  Planner(const fat::Alias& alias, std::uint32_t count) noexcept
      : alias_(alias), count_(count), one_unit_(count <= fat::per_unit) {}

  void slot(std::uint32_t index, std::uint32_t, bool free) noexcept override {
    if (!free || (one_unit_ && index % fat::per_unit == 0)) run_ = 0;
    if (free && ++run_ >= count_ && !start) start = index + 1 - count_;
  }
  bool entry(const Found& found, const Name&) noexcept override {
    if (found.entry.name == alias_.name) taken = true;
    const std::uint32_t number = alias_.number_of(found.entry.name);
    highest_ = std::max(highest_, number);
    if (number < used_.size()) used_.set(number);
    return false;
  }
  void end(std::uint32_t index, std::uint32_t, bool is_marked) noexcept override {
    end_index = index;
    marked = is_marked;
  }
  /// The lowest free number, or one above all; 0: none is left.
  [[nodiscard]] std::uint32_t number() const noexcept {
    for (std::uint32_t i = 1; i < used_.size(); ++i) {
      if (!used_.test(i)) return i;
    }
    return highest_ < 999'999 ? highest_ + 1 : 0;
  }

  std::optional<std::uint32_t> start;
  std::uint32_t end_index = 0;
  bool marked = false;
  bool taken = false;

 private:
  const fat::Alias& alias_;
  std::uint32_t count_;
  bool one_unit_;
  std::uint32_t run_ = 0;
  std::uint32_t highest_ = 0;
  std::bitset<256> used_;
};

class First final : public fat::Visitor {
 public:
  bool entry(const Found& at, const Name&) noexcept override {
    found = at;
    return true;
  }
  std::optional<Found> found;
};

}  // namespace

Task<Result<std::optional<Found>, KvError>> FatCore::first_of(std::uint32_t directory) {
  First first;
  const auto scanned = co_await scan(directory, first);
  if (!scanned) co_return Failure{scanned.error()};
  co_return first.found;
}

Task<Result<FatCore::Plan, KvError>> FatCore::plan(std::uint32_t directory, const Name& name) {
  const fat::Alias alias = alias_of(name);
  Plan where;
  for (bool needs_long = !alias.exact;; needs_long = true) {
    where.count = entries_of(name, needs_long);
    Planner planner{alias, where.count};
    const auto scanned = co_await scan(directory, planner);
    if (!scanned) co_return Failure{scanned.error()};
    // The short name of another file: this one gets a number, and a long name to tell what it is called.
    if (planner.taken && !needs_long) continue;
    where.name = alias.name;
    if (planner.taken || !alias.fits) {
      const std::uint32_t number = planner.number();
      if (number == 0) co_return Failure{KvError::no_space};
      where.name = alias.numbered(number);
    }
    where.end = planner.end_index;
    where.marked = planner.marked;
    where.at_end = !planner.start;
    where.start = planner.start.value_or(planner.end_index);
    break;
  }
  const std::uint32_t in_unit = where.start % fat::per_unit;
  if (where.at_end && where.count <= fat::per_unit && in_unit + where.count > fat::per_unit) {
    where.start += fat::per_unit - in_unit;  // what is skipped becomes deleted entries
  }
  co_return where;
}

Task<FatCore::Cluster> FatCore::chain_length(std::uint32_t first) {
  std::uint32_t length = 0;
  for (std::uint32_t cluster = first; cluster != no_cluster; ++length) {
    if (length > maximum_entries) co_return Failure{KvError::corrupt};
    const auto following = co_await next(cluster);
    if (!following) co_return following;
    cluster = *following;
  }
  co_return length;
}

/// Extends the directory until it has this many entries.
Task<FatCore::Done> FatCore::make_room(std::uint32_t directory, std::uint32_t entries) {
  const std::uint32_t first = directory == 0 ? layout.root_cluster : directory;
  if (entries > (first == 0 ? layout.root_entries : maximum_entries)) co_return Failure{KvError::no_space};
  if (first == 0) co_return Done{};
  const auto length = co_await chain_length(first);
  if (!length) co_return Failure{length.error()};
  const std::uint32_t wanted = clusters_for(std::uint64_t{entries} * fat::entry_size);
  for (std::uint32_t have = *length; have < wanted; ++have) {
    const auto fresh = co_await allocate(1);
    if (!fresh) co_return Failure{fresh.error()};
    auto done = co_await write_zeros(*fresh);
    if (done) done = co_await commit();
    const auto last = co_await seek(first, have - 1);
    if (!last) co_return Failure{last.error()};
    if (done) done = co_await put(*last, *fresh);
    if (done) done = co_await commit();
    if (!done) co_return done;
  }
  co_return Done{};
}

Task<FatCore::Done> FatCore::create(std::uint32_t directory, const Name& name, Entry entry) {
  const auto where = co_await plan(directory, name);
  if (!where) co_return Failure{where.error()};
  if (where->at_end) {
    const auto room = co_await make_room(directory, where->start + where->count);
    if (!room) co_return room;
  }
  entry.name = where->name;
  co_return co_await place(directory, name, entry, *where);
}

/// One entry of the new name, or of what is skipped before it.
Task<FatCore::Done> FatCore::put_entry(std::uint32_t sector, std::uint32_t index, const Name& name, const Entry& entry,
                                       const Plan& where) {
  if (index >= where.start + where.count) {  // mostly there already
    const auto known = co_await load(sector);
    if (!known) co_return Failure{known.error()};
    if (entry_bytes(**known, index)[0] == fat::end_mark) co_return Done{};
  }
  const auto slot = co_await load_changed(sector);
  if (!slot) co_return Failure{slot.error()};
  const MutableBytes bytes = entry_bytes(**slot, index);
  if (index < where.start) {
    bytes[0] = fat::deleted_mark;
  } else if (index == where.start + where.count - 1) {
    entry.emit(bytes);
  } else if (index < where.start + where.count) {
    const std::uint32_t parts = where.count - 1;
    emit_long(bytes, name, parts - (index - where.start), parts, fat::checksum_of(entry.name));
  } else {
    bytes[0] = fat::end_mark;
  }
  co_return Done{};
}

/// At the end of the directory everything behind the unit with the end mark comes first: nobody sees it until that is
/// overwritten. Among deleted entries the unit with the short entry comes last.
Task<FatCore::Done> FatCore::place(std::uint32_t directory, const Name& name, const Entry& entry, const Plan& where) {
  const std::uint32_t first = where.at_end ? where.end : where.start;
  std::uint32_t last = where.start + where.count - 1;
  const std::uint32_t decisive = (where.at_end ? first : last) / fat::per_unit;
  // Behind a new end there must be a mark, where the directory goes on; by the book there is one.
  if (where.at_end && where.marked && co_await sector_of_entry(directory, last + 1)) ++last;
  for (const bool deciding : {false, true}) {
    for (std::uint32_t index = first; index <= last; ++index) {
      if (directory == 0 && layout.root_cluster == 0 && index >= layout.root_entries) break;
      if ((index / fat::per_unit == decisive) != deciding) continue;
      const auto sector = co_await sector_of_entry(directory, index);
      if (!sector) co_return Failure{sector.error()};
      const auto done = co_await put_entry(*sector, index, name, entry, where);
      if (!done) co_return done;
    }
    if (!cache.changed()) continue;
    const auto done = co_await commit();
    if (!done) co_return done;
  }
  co_return Done{};
}

Task<Result<bool, KvError>> FatCore::replace_in_unit(const Place& from, const Name& name, const Plan& where) {
  const Found& old = *from.found;
  const std::uint32_t base = old.index - old.index % fat::per_unit;
  if (old.first < base || where.count > fat::per_unit) co_return false;
  const auto slot = co_await load(old.sector);
  if (!slot) co_return Failure{slot.error()};
  std::uint32_t run = 0;
  std::uint32_t index = base;
  for (; index < base + fat::per_unit && run < where.count; ++index) {
    const bool own = index >= old.first && index <= old.index;
    const std::byte mark = entry_bytes(**slot, index)[0];
    run = own || mark == fat::deleted_mark ? run + 1 : 0;
    if (mark == fat::end_mark) break;
  }
  if (run < where.count) co_return false;
  Entry entry = old.entry;
  entry.name = where.name;
  entry.lower = 0;
  Plan here = where;
  here.start = index - where.count;
  auto done = co_await mark_deleted(old.sector, old.first, old.index);
  for (std::uint32_t i = here.start; done && i < index; ++i) {
    done = co_await put_entry(old.sector, i, name, entry, here);
  }
  if (done) done = co_await commit();
  if (!done) co_return Failure{done.error()};
  co_return true;
}

Task<FatCore::Done> FatCore::mark_deleted(std::uint32_t sector, std::uint32_t first, std::uint32_t last) {
  const auto slot = co_await load_changed(sector);
  if (!slot) co_return Failure{slot.error()};
  for (std::uint32_t i = first; i <= last; ++i) entry_bytes(**slot, i)[0] = fat::deleted_mark;
  co_return Done{};
}

/// The short entry and what is with it in its unit first: then the file is gone.
Task<FatCore::Done> FatCore::erase(std::uint32_t directory, const Found& found) {
  const std::uint32_t base = found.index - found.index % fat::per_unit;
  auto done = co_await mark_deleted(found.sector, std::max(base, found.first), found.index);
  if (done) done = co_await commit();
  for (std::uint32_t index = found.first; done && index < base; ++index) {
    const auto sector = co_await sector_of_entry(directory, index);
    if (!sector) co_return Failure{sector.error()};
    done = co_await mark_deleted(*sector, index, index);
  }
  co_return done;
}

Task<FatCore::Done> FatCore::update(const Found& found, std::uint32_t cluster, std::uint32_t size) {
  const auto slot = co_await load_changed(found.sector);
  if (!slot) co_return Failure{slot.error()};
  Entry::update(entry_bytes(**slot, found.index), cluster, size, stamp());
  co_return co_await commit();
}

Task<FatCore::Cluster> FatCore::make_directory(std::uint32_t parent, const Name& name) {
  const auto cluster = co_await allocate(1);
  if (!cluster) co_return cluster;
  auto done = co_await write_zeros(*cluster);
  if (!done) co_return Failure{done.error()};
  const auto slot = co_await load_changed(layout.sector_of(*cluster));
  if (!slot) co_return Failure{slot.error()};
  // "." and "..", the latter 0 for the root of any type (page 26).
  Entry entry{.attributes = fat::attribute::directory, .lower = 0, .cluster = *cluster, .size = 0, .stamp = stamp()};
  entry.name.fill(' ');
  entry.name[0] = '.';
  entry.emit(entry_bytes(**slot, 0));
  entry.name[1] = '.';
  entry.cluster = parent;
  entry.emit(entry_bytes(**slot, 1));
  done = co_await commit();
  entry.cluster = *cluster;
  if (done) done = co_await create(parent, name, entry);
  if (done) co_return cluster;
  if (done.error() == KvError::no_space) (void)co_await release(*cluster);
  co_return Failure{done.error()};
}

}  // namespace mirage::store
