// SPDX-License-Identifier: ISC
// The transaction as a whole, and values by name; object.cpp has the data of large values.
#include <algorithm>
#include <cstring>

#include <mirage/store/tree/reader.hpp>
#include <mirage/store/tree/writer.hpp>

namespace mirage::store::tree {

void Writer::begin() noexcept {
  data_ = {};
  next_ = core_.state();
  ++next_.generation;
  core_.tree().begin(next_.generation);
}

void Writer::abort() noexcept { core_.tree().abort(); }

/// A small value by its name, which most changes are, is one step; everything else may have to wait.
Quick<Writer::Outcome> Writer::apply(const KvChange& change) {
  if (!valid_key(change.key)) return Outcome{Failure{KvError::invalid_key}};
  core_.tree().set_purpose(change.kind == KvChange::Kind::remove ? Btree::Purpose::remove : Btree::Purpose::grow);
  const auto done = set_at_once(change);
  if (!done && !done.error().is_miss) return Outcome{Failure{done.error().error}};
  if (!done || !*done) return apply_slowly(change);
  if (must_spill()) return spill();
  return Outcome{};
}

Task<Writer::Outcome> Writer::apply_slowly(const KvChange& change) {
  switch (change.kind) {
    case KvChange::Kind::set:
    case KvChange::Kind::set_partial:
    case KvChange::Kind::resize:
      co_return co_await write_value(change);
    case KvChange::Kind::remove:
      co_return co_await remove(change.key);
    case KvChange::Kind::rename:
      co_return co_await rename(change.key, change.to);
  }
  co_return Failure{KvError::unsupported};
}

/// `path`: where the key would stand. A value among its ancestors would be the name before it.
Step<void> Writer::check_ancestors(std::string_view stored, const Path& path) noexcept {
  if (stored.find('\0') == std::string_view::npos) return {};
  Path before = path;
  MIRAGE_TRY(const bool exists, core_.tree().previous(before));
  if (exists && !is_object_key(before.key()) && is_below(stored, before.key()))
    return Failure{Fault{KvError::not_a_directory}};
  return {};
}

/// The value at `key`, or whether there can be one.
Step<Writer::Old> Writer::look_up(std::string_view key) noexcept {
  if (key.empty()) return Failure{Fault{KvError::not_a_value}};
  const StoredKey stored{key};
  core_.tree().begin_step();
  Path path;
  MIRAGE_CHECK(core_.tree().seek(next_.root, stored.view(), path));
  return look_at(stored.view(), path);
}

/// The same where a step has found the place.
Step<Writer::Old> Writer::look_at(std::string_view stored, Path& path) noexcept {
  if (path.at_cell() && path.key() == stored) {
    const auto record = NameRecord::parse(path.value());
    if (!record) return Failure{Fault{KvError::corrupt}};
    Old old{.exists = true, .record = *record};
    old.record.content = {};
    return old;
  }
  if (path.at_cell()) {
    if (is_below(path.key(), stored)) return Failure{Fault{KvError::not_a_value}};
  } else if (const auto bound = path.bound(); bound && is_below(*bound, stored)) {
    // Only then the next leaf's first key can be below, which has to be looked at.
    Path after = path;
    MIRAGE_TRY(const bool more, core_.tree().settle(after));
    if (more && is_below(after.key(), stored)) return Failure{Fault{KvError::not_a_value}};
  }
  MIRAGE_CHECK(check_ancestors(stored, path));
  return Old{};
}

/// False: not so simple, nothing is changed.
Step<bool> Writer::set_at_once(const KvChange& change) noexcept {
  if (change.kind != KvChange::Kind::set || change.key.empty() ||
      !NameRecord::fits_inline(change.key.size(), change.value.size()))
    return false;
  const StoredKey stored{change.key};
  core_.tree().begin_step();
  Path path;
  MIRAGE_CHECK(core_.tree().seek_to_put(next_.root, stored.view(), path));
  MIRAGE_TRY(const Old old, look_at(stored.view(), path));
  if (old.record.is_object) return false;
  std::array<std::byte, Node::maximum_cell> memory;
  const MutableBytes record = MutableBytes{memory}.first(NameRecord::inline_header + change.value.size());
  NameRecord::encode_inline_header(record, next_.generation);
  std::ranges::copy(change.value, record.subspan(NameRecord::inline_header).begin());
  MIRAGE_CHECK(core_.tree().put_at(next_.root, path, stored.view(), record));
  next_.keys += old.exists ? 0 : 1;
  return true;
}

namespace {

/// The size that a value of `old` bytes has after the change.
Result<std::uint64_t, KvError> size_after(const KvChange& change, std::uint64_t old) noexcept {
  constexpr std::uint64_t limit = (std::uint64_t{1} << 32) * page_size;  // an object's pages have 32-bit numbers
  if (change.kind == KvChange::Kind::set) return change.value.size();
  if (change.kind == KvChange::Kind::resize) {
    if (change.offset > limit) return Failure{KvError::no_space};
    return change.offset;
  }
  if (change.offset > old) return Failure{KvError::out_of_range};
  const std::uint64_t size = std::max(old, change.offset + change.value.size());
  if (size > limit) return Failure{KvError::no_space};
  return size;
}

}  // namespace

Task<Writer::Outcome> Writer::write_value(const KvChange& change) {
  Old old;
  auto step = [&]() noexcept -> Step<void> {
    MIRAGE_TRY(old, look_up(change.key));
    return {};
  };
  MIRAGE_CO_CHECK(co_await core_.attempt(step));
  MIRAGE_CO_TRY(const std::uint64_t size, size_after(change, old.record.size));
  const bool replaces = change.kind == KvChange::Kind::set;
  if (old.record.is_object && change.kind != KvChange::Kind::set && size <= old.record.size)
    core_.tree().set_purpose(size < old.record.size ? Btree::Purpose::remove : Btree::Purpose::replace);
  if (replaces && old.record.is_object) MIRAGE_CO_CHECK(co_await clear_runs(old.record.object, 0, ~std::uint64_t{0}));
  const bool is_inline = NameRecord::fits_inline(change.key.size(), size) && (replaces || !old.record.is_object);
  MIRAGE_CO_CHECK(is_inline ? co_await write_inline(change, old, size) : co_await write_object(change, old, size));
  // Not before: what fails without a change of the tree is not taken back.
  next_.keys += old.exists ? 0 : 1;
  co_return Outcome{};
}

Task<Writer::Outcome> Writer::write_inline(const KvChange& change, const Old& old, std::uint64_t size) {
  std::array<std::byte, Node::maximum_cell> memory;
  const MutableBytes record = MutableBytes{memory}.first(NameRecord::inline_header + size);
  const MutableBytes content = record.subspan(NameRecord::inline_header);
  NameRecord::encode_inline_header(record, next_.generation);
  if (old.exists && change.kind != KvChange::Kind::set) {
    auto step = [&]() noexcept -> Step<void> {
      MIRAGE_TRY(const NameRecord now, find_name(core_.tree(), next_.root, change.key));
      const std::size_t kept = std::min<std::size_t>(now.content.size(), size);
      std::ranges::copy(now.content.first(kept), content.begin());
      return {};
    };
    MIRAGE_CO_CHECK(co_await core_.attempt(step));
  }
  if (change.kind == KvChange::Kind::resize) {
    const std::size_t kept = std::min<std::size_t>(old.record.size, size);
    std::ranges::fill(content.subspan(kept), std::byte{});
  } else {
    const std::size_t offset = change.kind == KvChange::Kind::set ? 0 : change.offset;
    std::ranges::copy(change.value, content.subspan(offset).begin());
  }
  co_return co_await put_name(change.key, record);
}

Task<Writer::Outcome> Writer::put_name(std::string_view key, Bytes record) {
  auto step = [&]() noexcept -> Step<void> { return core_.tree().put(next_.root, StoredKey{key}.view(), record); };
  MIRAGE_CO_CHECK(co_await core_.attempt(step));
  co_return co_await spill_if_needed();
}

Task<Writer::Outcome> Writer::erase_name(std::string_view stored) {
  auto step = [&]() noexcept -> Step<void> { return core_.tree().erase(next_.root, stored); };
  MIRAGE_CO_CHECK(co_await core_.attempt(step));
  --next_.keys;
  co_return co_await spill_if_needed();
}

Task<Writer::Outcome> Writer::remove(std::string_view key) {
  NameRecord record;
  auto step = [&]() noexcept -> Step<void> {
    MIRAGE_TRY(record, find_name(core_.tree(), next_.root, key));
    return {};
  };
  const auto found = co_await core_.attempt(step);
  if (!found && found.error() == KvError::not_a_value) co_return co_await remove_below(key);
  if (!found) co_return found;
  if (record.is_object) MIRAGE_CO_CHECK(co_await clear_runs(record.object, 0, ~std::uint64_t{0}));
  const StoredKey stored{key};
  co_return co_await erase_name(stored.view());
}

/// Every value below the directory, one by one.
Task<Writer::Outcome> Writer::remove_below(std::string_view key) {
  const StoredKey directory{key};
  StoredKey first = directory;
  first.append(key.empty() ? std::string_view{"\x01"} : std::string_view{"\0\x01", 2});
  StoredKey found;
  NameRecord record;
  bool more = true;
  auto step = [&]() noexcept -> Step<void> {
    core_.tree().begin_step();
    Path path;
    MIRAGE_CHECK(core_.tree().seek(next_.root, first.view(), path));
    MIRAGE_TRY(more, core_.tree().settle(path));
    more = more && is_below(path.key(), directory.view());
    if (!more) return {};
    const auto parsed = NameRecord::parse(path.value());
    if (!parsed) return Failure{Fault{KvError::corrupt}};
    record = *parsed;
    found = StoredKey{};
    found.append(path.key());
    return {};
  };
  while (true) {
    MIRAGE_CO_CHECK(co_await core_.attempt(step));
    if (!more) co_return Outcome{};
    if (record.is_object) MIRAGE_CO_CHECK(co_await clear_runs(record.object, 0, ~std::uint64_t{0}));
    MIRAGE_CO_CHECK(co_await erase_name(found.view()));
  }
}

Task<Writer::Outcome> Writer::rename(std::string_view from, std::string_view to) {
  if (!valid_key(to)) co_return Failure{KvError::invalid_key};
  KvKind kind = KvKind::absent;
  Old old;
  auto step = [&]() noexcept -> Step<void> {
    MIRAGE_TRY(kind, find_kind(core_.tree(), next_.root, from));
    if (kind == KvKind::absent) return Failure{Fault{KvError::not_found}};
    if (from == to) return {};
    MIRAGE_TRY(old, look_up(to));
    return {};
  };
  MIRAGE_CO_CHECK(co_await core_.attempt(step));
  if (from == to) co_return Outcome{};
  if (kind == KvKind::value) co_return co_await rename_value(from, to, old);
  if (old.exists) co_return Failure{KvError::not_a_directory};
  const StoredKey below{to};
  if (is_below(below.view(), StoredKey{from}.view())) co_return Failure{KvError::invalid_key};
  co_return co_await rename_below(from, to);
}

Task<Writer::Outcome> Writer::rename_value(std::string_view from, std::string_view to, const Old& old) {
  if (old.record.is_object) MIRAGE_CO_CHECK(co_await clear_runs(old.record.object, 0, ~std::uint64_t{0}));
  const StoredKey stored_from{from};
  const StoredKey stored_to{to};
  MIRAGE_CO_CHECK(co_await move_record(stored_from.view(), stored_to.view()));
  next_.keys += old.exists ? 0 : 1;
  co_return Outcome{};
}

/// The record of one stored key becomes that of another; a value's data stays where it is.
Task<Writer::Outcome> Writer::move_record(std::string_view from, std::string_view to) {
  std::array<std::byte, Node::maximum_cell> memory;
  std::size_t size = 0;
  auto copy = [&]() noexcept -> Step<void> {
    core_.tree().begin_step();
    Path path;
    MIRAGE_CHECK(core_.tree().seek(next_.root, from, path));
    if (!path.at_cell() || path.key() != from) return Failure{Fault{KvError::corrupt}};
    size = path.value().size();
    std::ranges::copy(path.value(), memory.begin());
    return {};
  };
  MIRAGE_CO_CHECK(co_await core_.attempt(copy));
  const MutableBytes record = MutableBytes{memory}.first(size);
  if (Node::cell_header + to.size() + size > Node::maximum_cell) {
    MIRAGE_CO_CHECK(co_await move_out_of_leaf(to, record.subspan(NameRecord::inline_header)));
    co_return co_await erase_name(from);
  }
  store_little(record, 1, next_.generation);
  auto put = [&]() noexcept -> Step<void> { return core_.tree().put(next_.root, to, record); };
  MIRAGE_CO_CHECK(co_await core_.attempt(put));
  co_return co_await erase_name(from);
}

/// A longer key leaves no room for the value beside it: it becomes an object.
Task<Writer::Outcome> Writer::move_out_of_leaf(std::string_view to, Bytes content) {
  std::array<char, maximum_key> key;
  std::ranges::replace_copy(to, key.begin(), '\0', '/');
  const KvChange change{.key = {key.data(), to.size()}, .value = content};
  co_return co_await write_object(change, Old{}, content.size());
}

Task<Writer::Outcome> Writer::rename_below(std::string_view from, std::string_view to) {
  const StoredKey directory{from};
  StoredKey first = directory;
  first.append(from.empty() ? std::string_view{"\x01"} : std::string_view{"\0\x01", 2});
  const StoredKey target{to};
  StoredKey found;
  bool more = true;
  auto step = [&]() noexcept -> Step<void> {
    core_.tree().begin_step();
    Path path;
    MIRAGE_CHECK(core_.tree().seek(next_.root, first.view(), path));
    MIRAGE_TRY(more, core_.tree().settle(path));
    more = more && is_below(path.key(), directory.view());
    if (!more) return {};
    found = StoredKey{};
    found.append(path.key());
    return {};
  };
  while (true) {
    MIRAGE_CO_CHECK(co_await core_.attempt(step));
    if (!more) co_return Outcome{};
    StoredKey moved = target;
    moved.append(found.view().substr(directory.view().size()));
    if (moved.view().size() > maximum_key) co_return Failure{KvError::invalid_key};
    MIRAGE_CO_CHECK(co_await move_record(found.view(), moved.view()));
    ++next_.keys;
  }
}

}  // namespace mirage::store::tree
