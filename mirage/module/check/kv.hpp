// SPDX-License-Identifier: ISC
// Conformance checks of the module types KvRo and KvRw, for the tests of every implementation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

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

/// Reads `value` in pieces of at most `step` bytes. Empty when it is all there.
template <KvRo K>
Task<std::string_view> check_value(Shard&, K& store, std::string_view key, Bytes value, std::uint64_t step) {
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
  }
  co_return "";
}

/// The store is empty below "check/".
template <KvRw K>
Task<std::string_view> check_kv_rw(Shard& shard, K& store) {
  constexpr std::string_view key = "check/value";
  const Bytes first = as_bytes("first value");
  const Bytes second = as_bytes("the second");
  if (!co_await store.set(key, first)) co_return "a value was not set";
  if (const auto broken = co_await check_kv_ro(shard, store, key, first, "check", "check/absent"); !broken.empty())
    co_return broken;
  if (!co_await store.set(key, second)) co_return "a value was not replaced";
  if (const auto broken = co_await check_value(shard, store, key, second, 100); !broken.empty()) co_return broken;
  using detail::error_of;
  if (error_of(co_await store.set("check/../x", first)) != KvError::invalid_key) co_return "an invalid key was set";
  if (!co_await store.remove(key)) co_return "a value was not removed";
  if (error_of(co_await store.info(key)) != KvError::not_found) co_return "a removed value is still there";
  if (error_of(co_await store.remove(key)) != KvError::not_found) co_return "an absent value was removed";
  co_return "";
}

}  // namespace mirage::check
