// SPDX-License-Identifier: ISC
// Module types KvRo and KvRw: key-value stores whose keys are slash-separated paths.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/module/flow.hpp>
#include <mirage/module/start.hpp>

namespace mirage {

enum class KvError : std::uint8_t {
  not_found,
  not_a_value,  ///< a directory
  invalid_key,  ///< empty parts, "." or "..", a NUL, or too long
  out_of_range,
  no_space,
  corrupt,  ///< the store's checks failed
  io,
  read_only,
  cancelled,
  no_memory,
};

[[nodiscard]] constexpr std::string_view to_string(KvError error) noexcept {
  switch (error) {
    case KvError::not_found:
      return "not found";
    case KvError::not_a_value:
      return "is a directory";
    case KvError::invalid_key:
      return "invalid key";
    case KvError::out_of_range:
      return "out of range";
    case KvError::no_space:
      return "no space left";
    case KvError::corrupt:
      return "corrupt store";
    case KvError::io:
      return "input/output error";
    case KvError::read_only:
      return "read-only store";
    case KvError::cancelled:
      return "cancelled";
    case KvError::no_memory:
      return "out of memory";
  }
  return "?";
}

inline void append_value(TextWriter& out, KvError error) noexcept { out.append(to_string(error)); }

inline constexpr std::size_t maximum_key = 1024;

/// Relative, slash-separated, no empty part, no "." or "..", no NUL, at most maximum_key bytes; "" is the root.
[[nodiscard]] constexpr bool valid_key(std::string_view key) noexcept {
  if (key.empty()) return true;
  if (key.size() > maximum_key) return false;
  while (true) {
    const auto slash = key.find('/');
    const std::string_view part = key.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos) return false;
    if (slash == std::string_view::npos) return true;
    key.remove_prefix(slash + 1);
  }
}

/// What is known about a value without reading it. Strings live as long as the store.
struct KvInfo {
  std::uint64_t size = 0;
  std::string_view etag;          ///< strong validator without quotes; empty when the store has none
  std::string_view content_type;  ///< empty when unknown
  std::optional<WallTime> last_modified;
  std::string_view encoding;  ///< "gzip" ... when the stored bytes are encoded; else empty
};

/// get(key, offset, length): at most `length` bytes from `offset` (a range that starts at or beyond the end is
/// out_of_range unless both are 0), possibly fewer than asked but at least one: large values are streamed.
template <class K>
concept KvRo = requires(K& store, std::string_view key, std::uint64_t offset, std::uint64_t length) {
  { store.info(key) } -> AwaitableOf<Result<KvInfo, KvError>>;
  { store.get(key, offset, length) } -> AwaitableOf<Result<SliceList, KvError>>;
};

template <class K>
concept KvRw = KvRo<K> && requires(K& store, std::string_view key, Bytes value) {
  { store.set(key, value) } -> AwaitableOf<Result<void, KvError>>;
  { store.remove(key) } -> AwaitableOf<Result<void, KvError>>;
};

}  // namespace mirage
