// SPDX-License-Identifier: ISC
// Module types KvRo and KvRw: key-value stores whose keys are slash-separated paths; KvBatch, KvSnapshot and KvInPlace
// refine them.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <mirage/module/flow.hpp>
#include <mirage/module/start.hpp>

namespace mirage {

enum class KvError : std::uint8_t {
  not_found,
  not_a_value,      ///< a directory
  not_a_directory,  ///< a value, where a directory is needed
  invalid_key,      ///< empty parts, "." or "..", a NUL, or too long
  out_of_range,
  no_space,
  corrupt,  ///< the store's checks failed
  io,
  read_only,
  unsupported,  ///< not by this store
  cancelled,
  no_memory,
};

[[nodiscard]] constexpr std::string_view to_string(KvError error) noexcept {
  switch (error) {
    case KvError::not_found:
      return "not found";
    case KvError::not_a_value:
      return "is a directory";
    case KvError::not_a_directory:
      return "is not a directory";
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
    case KvError::unsupported:
      return "not supported by the store";
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
  std::string_view etag{};          ///< strong validator without quotes; empty when the store has none
  std::string_view content_type{};  ///< empty when unknown
  std::optional<WallTime> last_modified{};
  std::string_view encoding{};  ///< "gzip" ... when the stored bytes are encoded; else empty
};

enum class KvKind : std::uint8_t { absent, value, directory };

/// What a directory holds under one name.
struct KvEntry {
  std::string_view name;  ///< the last part of the key; valid as long as the page
  KvKind kind = KvKind::value;
  std::uint64_t size = 0;  ///< bytes; 0 for a directory
};

/// A part of a directory's listing: entries in the order of their names as bytes, in one buffer of the shard's pool.
class KvPage {
 public:
  /// Empty; cannot take entries when the pool has no buffer left (`full` from the start).
  explicit KvPage(BufferPool& pool) noexcept : memory_(pool.allocate_sparing(capacity, 0)) {}

  /// False when the entry does not fit: the page ends here. A page with memory takes at least one entry.
  [[nodiscard]] bool push(const KvEntry& entry) noexcept {
    const std::size_t size = header + entry.name.size();
    if (!memory_ || entry.name.size() > maximum_key || memory_.tailroom() < size) return false;
    const MutableBytes bytes = memory_.grow_back(static_cast<std::uint32_t>(size)).last(size);
    store_little(bytes, 0, static_cast<std::uint16_t>(entry.name.size()));
    bytes[2] = static_cast<std::byte>(entry.kind);
    store_little(bytes, 3, entry.size);
    std::ranges::copy(as_bytes(entry.name), bytes.subspan(header).begin());
    ++count_;
    return true;
  }
  /// Called by the store when entries follow that this page does not hold.
  void set_more() noexcept { more_ = true; }

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(memory_); }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// Whether the listing goes on after this page's last name.
  [[nodiscard]] bool more() const noexcept { return more_; }

  class Iterator {
   public:
    explicit Iterator(Bytes rest) noexcept : rest_(rest) {}
    [[nodiscard]] KvEntry operator*() const noexcept {
      return {.name = as_text(rest_.subspan(header, name_size())),
              .kind = static_cast<KvKind>(rest_[2]),
              .size = load_little<std::uint64_t>(rest_, 3)};
    }
    Iterator& operator++() noexcept {
      rest_ = rest_.subspan(header + name_size());
      return *this;
    }
    [[nodiscard]] bool operator==(const Iterator& other) const noexcept { return rest_.size() == other.rest_.size(); }

   private:
    [[nodiscard]] std::size_t name_size() const noexcept { return load_little<std::uint16_t>(rest_, 0); }
    Bytes rest_;
  };
  [[nodiscard]] Iterator begin() const noexcept { return Iterator{memory_.bytes()}; }
  [[nodiscard]] Iterator end() const noexcept { return Iterator{{}}; }

 private:
  static constexpr std::size_t header = 11;      // size of the name (2), kind (1), size of the value (8)
  static constexpr std::size_t capacity = 2016;  // a frame's block
  static_assert(capacity <= frame_capacity && capacity >= header + maximum_key);
  MutableSlice memory_;
  std::size_t count_ = 0;
  bool more_ = false;
};

/// What tells two states of a value apart.
struct KvDigest {
  /// content: of the bytes, so that equal values have equal digests, in other stores of this type too. version: set
  /// anew whenever the value is written. Either way, the same digest under the same key of a store is the same value.
  enum class Basis : std::uint8_t { content, version };
  Basis basis = Basis::version;
  std::array<char, 64> memory{};
  std::uint8_t size = 0;

  KvDigest() noexcept = default;
  /// Precondition: at most 64 characters, those of an entity tag (RFC 9110 section 8.8.3).
  KvDigest(Basis of, std::string_view text) noexcept : basis(of), size(static_cast<std::uint8_t>(text.size())) {
    std::ranges::copy(text, memory.begin());
  }
  [[nodiscard]] std::string_view text() const noexcept { return {memory.data(), size}; }
};

/// - info(key): not_a_value for a directory (or not_found from a store that does not know its directories).
/// - get(key, offset, length): at most `length` bytes from `offset` (a range that starts at or beyond the end is
///   out_of_range unless both are 0), possibly fewer than asked but at least one: large values are streamed.
/// - exists(key): whether it is a value, a directory (there are values below it; the root always) or absent.
/// - list(directory, after, maximum): the entries whose names follow `after` ("" is before the first), at most
///   `maximum`, in order; page.more() says that the listing goes on. `after` need not exist any more.
/// - digest(key): see KvDigest.
template <class K>
concept KvRo =
    requires(K& store, std::string_view key, std::uint64_t offset, std::uint64_t length, std::size_t maximum) {
      { store.info(key) } -> AwaitableOf<Result<KvInfo, KvError>>;
      { store.get(key, offset, length) } -> AwaitableOf<Result<SliceList, KvError>>;
      { store.exists(key) } -> AwaitableOf<Result<KvKind, KvError>>;
      { store.list(key, key, maximum) } -> AwaitableOf<Result<KvPage, KvError>>;
      { store.digest(key) } -> AwaitableOf<Result<KvDigest, KvError>>;
    };

/// read_into(key, offset, in): as get() of in.size() bytes, into the caller's memory; how many it was.
template <class K>
concept KvReadInto = KvRo<K> && requires(K& store, std::string_view key, std::uint64_t offset, MutableBytes in) {
  { store.read_into(key, offset, in) } -> AwaitableOf<Result<std::size_t, KvError>>;
};

/// Each operation is whole or absent, also for readers and (where the store is durable) after a crash: when it has
/// completed, it is there. Keys and bytes belong to the caller until then.
/// - set(key, value): not_a_value when it is a directory, not_a_directory when a part of its path is a value.
/// - set_partial(key, offset, bytes): writes into the value, which grows as needed; an absent one is as an empty one;
///   an offset beyond the end is out_of_range.
/// - remove(key): a value, or a directory with all that is below it; the root is emptied.
/// - rename(from, to): replaces a value `to`. A store that can not move a directory in one step says not_a_value; a
///   directory never replaces anything (not_a_value when there is a directory, not_a_directory when a value).
template <class K>
concept KvRw = KvRo<K> && requires(K& store, std::string_view key, std::uint64_t offset, Bytes value) {
  { store.set(key, value) } -> AwaitableOf<Result<void, KvError>>;
  { store.set_partial(key, offset, value) } -> AwaitableOf<Result<void, KvError>>;
  { store.remove(key) } -> AwaitableOf<Result<void, KvError>>;
  { store.rename(key, key) } -> AwaitableOf<Result<void, KvError>>;
};

/// One change of a batch; the fields that its kind does not use are ignored.
struct KvChange {
  enum class Kind : std::uint8_t { set, set_partial, resize, remove, rename };
  Kind kind = Kind::set;
  std::string_view key;
  Bytes value{};             ///< set, set_partial
  std::uint64_t offset = 0;  ///< set_partial: where; resize: the new size (what is added reads as zeros)
  std::string_view to{};     ///< rename
};

/// batch(changes): all of them, in order, or none: the first that fails is the error of the whole.
template <class K>
concept KvBatch = KvRw<K> && requires(K& store, std::span<const KvChange> changes) {
  { store.batch(changes) } -> AwaitableOf<Result<void, KvError>>;
};

/// stage(changes): as batch(), and durable no later than the next batch() (an empty one will do): a power cut takes all
/// that was staged since the last one, or leaves it up to some change of the order in which it came.
template <class K>
concept KvStage = KvBatch<K> && requires(K& store, std::span<const KvChange> changes) {
  { store.stage(changes) } -> AwaitableOf<Result<void, KvError>>;
};

/// Values that are changed where they lie, which is what files need (store/value_file):
/// - overwrite(key, offset, bytes): within the value, else out_of_range. Until sync() has completed a power cut leaves
///   each of the device's sectors that it covers old or new.
/// - resize(key, size): whole or absent, as set_partial() is; an absent value is as an empty one, what is added reads
///   as zeros.
/// - sync(): what was overwritten before is durable.
/// - maximum_value: bytes that a value can have.
template <class K>
concept KvInPlace = KvRw<K> && requires(K& store, std::string_view key, std::uint64_t offset, Bytes bytes) {
  { K::maximum_value } -> std::convertible_to<std::uint64_t>;
  { store.overwrite(key, offset, bytes) } -> AwaitableOf<Result<void, KvError>>;
  { store.resize(key, offset) } -> AwaitableOf<Result<void, KvError>>;
  { store.sync() } -> AwaitableOf<Result<void, KvError>>;
};

/// snapshot(): the store as it is now, read-only, whatever is changed later; it holds memory or space until it is
/// destroyed, which must be before the store is. no_memory when there are too many.
template <class K>
concept KvSnapshot = KvRo<K> && requires(K& store) {
  requires std::movable<typename K::Snapshot> && KvRo<typename K::Snapshot>;
  { store.snapshot() } -> AwaitableOf<Result<typename K::Snapshot, KvError>>;
};

/// A store that has it all.
template <class K>
concept KvStore = KvBatch<K> && KvSnapshot<K>;

}  // namespace mirage
