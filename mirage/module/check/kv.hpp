// SPDX-License-Identifier: ISC
// Conformance checks of the module types KvRo, KvRw, KvBatch and KvSnapshot, for the tests of every implementation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mirage/async/sleep.hpp>
#include <mirage/async/task.hpp>
#include <mirage/module/kv.hpp>

namespace mirage::check {

namespace detail {

template <class T>
std::optional<KvError> error_of(const Result<T, KvError>& result) {
  return result ? std::nullopt : std::optional{result.error()};
}

inline bool starts_with(Bytes whole, std::size_t offset, const SliceList& part) {
  for (const Slice& slice : part) {
    if (slice.size() > whole.size() - offset) return false;
    if (!std::ranges::equal(slice.bytes(), whole.subspan(offset, slice.size()))) return false;
    offset += slice.size();
  }
  return true;
}

}  // namespace detail

/// Reads `value` in pieces of at most `step` bytes into memory of its own. Empty when it is all there.
template <KvReadInto K>
Task<std::string_view> check_read_into(Shard&, K& store, std::string_view key, Bytes value, std::size_t step) {
  for (std::size_t at = 0; at < value.size();) {
    std::string memory(std::min(step, value.size() - at + 1), '?');
    const auto count = co_await store.read_into(key, at, std::as_writable_bytes(std::span{memory}));
    if (!count) co_return "a part was not read into memory";
    if (*count == 0 || *count > memory.size() || *count > value.size() - at)
      co_return "a part read into memory has a wrong size";
    if (!std::ranges::equal(as_bytes(memory).first(*count), value.subspan(at, *count)))
      co_return "a part read into memory has wrong bytes";
    at += *count;
  }
  co_return "";
}

/// Reads `value` in pieces of at most `step` bytes. Empty when it is all there.
template <KvRo K>
Task<std::string_view> check_value(Shard& shard, K& store, std::string_view key, Bytes value, std::uint64_t step) {
  const auto info = co_await store.info(key);
  if (!info) co_return "info() does not know the key";
  if (info->size != value.size()) co_return "info() has the wrong size";
  for (std::size_t at = 0; at < value.size();) {
    const auto part = co_await store.get(key, at, step);
    if (!part) co_return "a part was not read";
    if (part->empty()) co_return "a part has no bytes";
    if (part->byte_count() > step) co_return "a part has more bytes than asked for";
    if (!detail::starts_with(value, at, *part)) co_return "a part has wrong bytes";
    at += part->byte_count();
  }
  if constexpr (KvReadInto<K>) co_return co_await check_read_into(shard, store, key, value, step);
  co_return "";
}

/// exists() and digest().
template <KvRo K>
Task<std::string_view> check_kinds(Shard&, K& store, std::string_view key, std::string_view directory,
                                   std::string_view absent) {
  using detail::error_of;
  if (co_await store.exists(key) != KvKind::value) co_return "exists() does not know the key";
  if (co_await store.exists(directory) != KvKind::directory) co_return "exists() does not know the directory";
  if (co_await store.exists("") != KvKind::directory) co_return "exists() does not know the root";
  if (co_await store.exists(absent) != KvKind::absent) co_return "exists() knows an absent key";
  const auto digest = co_await store.digest(key);
  const auto again = co_await store.digest(key);
  if (!digest || !again || digest->text().empty() || digest->text() != again->text()) co_return "no stable digest";
  if (error_of(co_await store.digest(absent)) != KvError::not_found) co_return "an absent key has a digest";
  if (error_of(co_await store.list(absent, "", 1)) != KvError::not_found) co_return "an absent directory was listed";
  if (error_of(co_await store.list(key, "", 1)) != KvError::not_a_directory) co_return "a value was listed";
  co_return "";
}

/// Lists the directory in pages of `maximum` entries: ordered, of the right kinds, and complete: the number of entries,
/// or nothing when a rule is broken.
template <KvRo K>
Task<std::optional<std::size_t>> count_entries(Shard&, K& store, std::string_view directory, std::size_t maximum) {
  std::string last;
  std::size_t count = 0;
  while (true) {
    const auto page = co_await store.list(directory, last, maximum);
    if (!page || page->size() > maximum || (page->empty() && page->more())) co_return std::nullopt;
    for (const KvEntry entry : *page) {
      if (entry.name <= last || entry.kind == KvKind::absent) co_return std::nullopt;
      last = entry.name;
      const std::string key = directory.empty() ? last : std::string{directory} + "/" + last;
      if (co_await store.exists(key) != entry.kind) co_return std::nullopt;
      if (entry.kind == KvKind::value) {
        const auto info = co_await store.info(key);
        if (!info || info->size != entry.size) co_return std::nullopt;
      }
      ++count;
    }
    if (!page->more()) co_return count;
  }
}

/// list(): the directory and the root, one by one and all at once; `key` is found by walking down.
template <KvRo K>
Task<std::string_view> check_list(Shard& shard, K& store, std::string_view directory, std::string_view key) {
  for (const std::string_view each : {std::string_view{}, directory}) {
    const auto one_by_one = co_await count_entries(shard, store, each, 1);
    const auto in_pages = co_await count_entries(shard, store, each, 1000);
    if (!one_by_one || !in_pages) co_return "a listing is not in order, or does not match exists() and info()";
    if (*one_by_one != *in_pages || *in_pages == 0) co_return "a listing depends on the size of its pages";
  }
  const std::size_t slash = key.rfind('/');
  const std::string_view parent = slash == std::string_view::npos ? std::string_view{} : key.substr(0, slash);
  const std::string name{slash == std::string_view::npos ? key : key.substr(slash + 1)};
  // The name before it in the order: its last byte one less, and something behind.
  std::string before = name;
  --before.back();
  before += '\x7f';
  const auto page = co_await store.list(parent, before, 1);
  if (!page || page->empty() || (*page->begin()).name > name) co_return "a listing leaves a value out";
  co_return "";
}

/// `key` is in the store with `value`, which has at least two bytes; `directory` is a part of the path to some value,
/// `absent` a valid key that is not there. Empty when the store conforms, else the first rule that it breaks.
template <KvRo K>
Task<std::string_view> check_kv_ro(Shard& shard, K& store, std::string_view key, Bytes value,
                                   std::string_view directory, std::string_view absent) {
  for (const std::uint64_t step : {std::uint64_t{1} << 40, std::uint64_t{value.size()}, std::uint64_t{1}}) {
    if (const auto broken = co_await check_value(shard, store, key, value, step); !broken.empty()) co_return broken;
  }
  const auto tail = co_await store.get(key, value.size() - 1, 10);
  if (!tail || tail->byte_count() != 1) co_return "a range across the end is not cut";
  using detail::error_of;
  if (error_of(co_await store.get(key, value.size(), 1)) != KvError::out_of_range)
    co_return "a range from the end was accepted";
  if (error_of(co_await store.get(key, ~std::uint64_t{0}, ~std::uint64_t{0})) != KvError::out_of_range)
    co_return "a range that wraps was accepted";
  if (error_of(co_await store.info(absent)) != KvError::not_found) co_return "info() knows an absent key";
  if (error_of(co_await store.get(absent, 0, 1)) != KvError::not_found) co_return "get() knows an absent key";
  // A store need not know its directories.
  const auto as_value = error_of(co_await store.info(directory));
  if (!directory.empty() && as_value != KvError::not_a_value && as_value != KvError::not_found)
    co_return "a directory is a value";
  for (const std::string_view bad : {"/", "a//b", "..", "a/../b", "a/.", "a/"}) {
    if (error_of(co_await store.info(bad)) != KvError::invalid_key) co_return "an invalid key was accepted";
    if (error_of(co_await store.get(bad, 0, 1)) != KvError::invalid_key) co_return "an invalid key was read";
    if (error_of(co_await store.exists(bad)) != KvError::invalid_key) co_return "an invalid key exists";
    if (error_of(co_await store.list(bad, "", 1)) != KvError::invalid_key) co_return "an invalid key was listed";
    if (error_of(co_await store.digest(bad)) != KvError::invalid_key) co_return "an invalid key has a digest";
  }
  if (const auto broken = co_await check_kinds(shard, store, key, directory, absent); !broken.empty()) co_return broken;
  co_return co_await check_list(shard, store, directory, key);
}

/// set_partial(): within, across the end, beyond it, of an absent value.
template <KvRw K>
Task<std::string_view> check_partial(Shard& shard, K& store) {
  using detail::error_of;
  constexpr std::string_view key = "check/part";
  if (!co_await store.set_partial(key, 0, as_bytes("0123456789"))) co_return "an absent value was not written";
  if (!co_await store.set_partial(key, 2, as_bytes("ab"))) co_return "a part was not written";
  if (!co_await store.set_partial(key, 8, as_bytes("cdef"))) co_return "a part across the end was not written";
  if (!co_await store.set_partial(key, 12, as_bytes("gh"))) co_return "a part at the end was not written";
  if (error_of(co_await store.set_partial(key, 15, as_bytes("x"))) != KvError::out_of_range)
    co_return "a part beyond the end was accepted";
  if (error_of(co_await store.set_partial(key, ~std::uint64_t{0}, as_bytes("x"))) != KvError::out_of_range)
    co_return "a part that wraps was accepted";
  if (const auto broken = co_await check_value(shard, store, key, as_bytes("01ab4567cdefgh"), 100); !broken.empty())
    co_return broken;
  if (!co_await store.remove(key)) co_return "a value was not removed";
  co_return "";
}

/// last_modified, where the store has it: the time of the last change. Takes four seconds of the shard's time.
template <KvRw K>
Task<std::string_view> check_modified(Shard& shard, K& store) {
  constexpr std::string_view key = "check/time";
  constexpr Duration step{2s};
  std::optional<WallTime> last;
  for (const bool is_partial : {false, true}) {
    const WallTime now = shard.wall();
    const auto written =
        is_partial ? co_await store.set_partial(key, 1, as_bytes("x")) : co_await store.set(key, as_bytes("time"));
    if (!written) co_return "a value was not written";
    const auto info = co_await store.info(key);
    if (!info) co_return "info() does not know the key";
    if (is_partial && last.has_value() != info->last_modified.has_value()) co_return "a time comes or goes";
    if (info->last_modified && (*info->last_modified < now - step || *info->last_modified > shard.wall()))
      co_return "a time of modification is not that of the change";
    if (last && *info->last_modified <= *last) co_return "the time of modification does not change with the value";
    last = info->last_modified;
    if (!is_partial && co_await sleep(2 * step) == WaitStatus::cancelled) co_return "cancelled";
  }
  if (!co_await store.remove(key)) co_return "a value was not removed";
  co_return "";
}

/// A value of several blocks, written and read in pieces.
template <KvRw K>
Task<std::string_view> check_large(Shard& shard, K& store, std::size_t size) {
  constexpr std::string_view key = "check/large";
  std::vector<std::byte> value(size);
  for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<std::byte>(i * 31 + i / 251);
  const Bytes bytes{value};
  for (std::size_t at = 0; at < size; at += 7'000) {
    const Bytes part = bytes.subspan(at, std::min<std::size_t>(7'000, size - at));
    if (!co_await store.set_partial(key, at, part)) co_return "a large value was not appended to";
  }
  if (const auto broken = co_await check_value(shard, store, key, bytes, 5'000); !broken.empty()) co_return broken;
  std::fill_n(value.begin() + static_cast<std::ptrdiff_t>(size / 3), 5'000, std::byte{7});
  if (!co_await store.set_partial(key, size / 3, bytes.subspan(size / 3, 5'000)))
    co_return "its middle was not written";
  if (const auto broken = co_await check_value(shard, store, key, bytes, 1 << 20); !broken.empty()) co_return broken;
  if (!co_await store.set(key, bytes.first(size / 2))) co_return "a large value was not replaced";
  if (const auto broken = co_await check_value(shard, store, key, bytes.first(size / 2), 1 << 20); !broken.empty())
    co_return broken;
  if (!co_await store.remove(key)) co_return "a large value was not removed";
  co_return "";
}

/// Values and directories exclude each other; remove() and rename().
template <KvRw K>
Task<std::string_view> check_tree(Shard& shard, K& store) {
  using detail::error_of;
  const Bytes value = as_bytes("value");
  for (const std::string_view key : {"check/d/a", "check/d/b", "check/d!"}) {
    if (!co_await store.set(key, value)) co_return "a value was not set";
  }
  if (error_of(co_await store.set("check/d", value)) != KvError::not_a_value) co_return "a directory became a value";
  if (error_of(co_await store.set_partial("check/d", 0, value)) != KvError::not_a_value)
    co_return "a directory became a value in part";
  if (error_of(co_await store.set("check/d!/x/y", value)) != KvError::not_a_directory)
    co_return "a value became a directory";
  if (error_of(co_await store.set("", value)) != KvError::not_a_value) co_return "the root became a value";
  if (!co_await store.rename("check/d/a", "check/e/f")) co_return "a value was not renamed";
  if (error_of(co_await store.rename("check/d/a", "check/x")) != KvError::not_found) co_return "it is still there";
  if (const auto broken = co_await check_value(shard, store, "check/e/f", value, 100); !broken.empty())
    co_return broken;
  if (!co_await store.set("check/d/b", as_bytes("other"))) co_return "a value was not replaced";
  if (!co_await store.rename("check/d/b", "check/e/f")) co_return "a rename does not replace";
  if (const auto broken = co_await check_value(shard, store, "check/e/f", as_bytes("other"), 100); !broken.empty())
    co_return broken;
  if (error_of(co_await store.rename("check/d!", "check/e")) != KvError::not_a_value)
    co_return "a value replaced a directory";
  if (error_of(co_await store.rename("check/d!", "check/d!/x")) != KvError::not_a_directory)
    co_return "a value was moved below itself";
  if (const auto broken = co_await check_value(shard, store, "check/d!", value, 100); !broken.empty()) co_return broken;
  if (!co_await store.remove("check")) co_return "a directory was not removed";
  for (const std::string_view key : {"check", "check/d!", "check/e/f"}) {
    if (co_await store.exists(key) != KvKind::absent) co_return "a removed directory is still there";
  }
  co_return "";
}

/// The store is empty below "check/" and has room for a value of 100 000 bytes.
template <KvRw K>
Task<std::string_view> check_kv_rw(Shard& shard, K& store) {
  constexpr std::string_view key = "check/value";
  const Bytes first = as_bytes("first value");
  const Bytes second = as_bytes("the second");
  if (!co_await store.set(key, first)) co_return "a value was not set";
  if (const auto broken = co_await check_kv_ro(shard, store, key, first, "check", "check/absent"); !broken.empty())
    co_return broken;
  const auto before = co_await store.digest(key);
  if (!co_await store.set(key, second)) co_return "a value was not replaced";
  const auto after = co_await store.digest(key);
  if (!before || !after || before->text() == after->text()) co_return "the digest does not change with the value";
  if (const auto broken = co_await check_value(shard, store, key, second, 100); !broken.empty()) co_return broken;
  using detail::error_of;
  if (error_of(co_await store.set("check/../x", first)) != KvError::invalid_key) co_return "an invalid key was set";
  if (!co_await store.remove(key)) co_return "a value was not removed";
  if (error_of(co_await store.info(key)) != KvError::not_found) co_return "a removed value is still there";
  if (error_of(co_await store.remove(key)) != KvError::not_found) co_return "an absent value was removed";
  if (const auto broken = co_await check_partial(shard, store); !broken.empty()) co_return broken;
  if (const auto broken = co_await check_modified(shard, store); !broken.empty()) co_return broken;
  if (const auto broken = co_await check_large(shard, store, 100'000); !broken.empty()) co_return broken;
  co_return co_await check_tree(shard, store);
}

/// The store is empty below "check/".
template <KvBatch K>
Task<std::string_view> check_kv_batch(Shard& shard, K& store) {
  using detail::error_of;
  using Kind = KvChange::Kind;
  const Bytes value = as_bytes("abc");
  const KvChange good[] = {{.kind = Kind::set, .key = "check/a", .value = value},
                           {.kind = Kind::set_partial, .key = "check/a", .value = value, .offset = 2},
                           {.kind = Kind::set, .key = "check/b", .value = value},
                           {.kind = Kind::resize, .key = "check/b", .offset = 2},
                           {.kind = Kind::resize, .key = "check/b", .offset = 4},
                           {.kind = Kind::set, .key = "check/c", .value = value},
                           {.kind = Kind::remove, .key = "check/c"},
                           {.kind = Kind::rename, .key = "check/b", .to = "check/d/e"}};
  if (!co_await store.batch(good)) co_return "a batch failed";
  if (const auto broken = co_await check_value(shard, store, "check/a", as_bytes("ababc"), 100); !broken.empty())
    co_return broken;
  constexpr std::string_view resized{"ab\0\0", 4};
  if (const auto broken = co_await check_value(shard, store, "check/d/e", as_bytes(resized), 100); !broken.empty())
    co_return broken;
  if (co_await count_entries(shard, store, "check", 10) != 2) co_return "a batch is not whole";
  const KvChange bad[] = {{.kind = Kind::set, .key = "check/a", .value = as_bytes("x")},
                          {.kind = Kind::remove, .key = "check/d"},
                          {.kind = Kind::remove, .key = "check/absent"}};
  if (error_of(co_await store.batch(bad)) != KvError::not_found) co_return "a batch with an error succeeded";
  if (const auto broken = co_await check_value(shard, store, "check/a", as_bytes("ababc"), 100); !broken.empty())
    co_return "a batch that failed was applied in part";
  if (co_await store.exists("check/d/e") != KvKind::value) co_return "a batch that failed removed a value";
  if (!co_await store.batch({})) co_return "an empty batch failed";
  if (!co_await store.remove("check")) co_return "a directory was not removed";
  co_return "";
}

/// The store is empty below "check/".
template <class K>
  requires KvSnapshot<K> && KvRw<K>
Task<std::string_view> check_kv_snapshot(Shard& shard, K& store) {
  const Bytes old = as_bytes("old value");
  if (!co_await store.set("check/a", old) || !co_await store.set("check/b", old)) co_return "a value was not set";
  {
    auto snapshot = co_await store.snapshot();
    if (!snapshot) co_return "no snapshot";
    if (!co_await store.set("check/a", as_bytes("new")) || !co_await store.remove("check/b") ||
        !co_await store.set("check/c", as_bytes("new")))
      co_return "a store with a snapshot cannot be changed";
    for (const std::string_view key : {"check/a", "check/b"}) {
      if (const auto broken = co_await check_kv_ro(shard, *snapshot, key, old, "check", "check/c"); !broken.empty())
        co_return broken;
    }
    if (co_await count_entries(shard, *snapshot, "check", 1) != 2) co_return "a snapshot changes";
  }
  if (const auto broken = co_await check_value(shard, store, "check/a", as_bytes("new"), 100); !broken.empty())
    co_return broken;
  if (co_await count_entries(shard, store, "check", 1) != 2) co_return "a snapshot holds changes up";
  if (!co_await store.remove("check")) co_return "a directory was not removed";
  co_return "";
}

}  // namespace mirage::check
