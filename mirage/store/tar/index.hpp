// SPDX-License-Identifier: ISC
// Where each key of an archive lies: sorted, bounded, in memory. Of members with the same name the last one counts, as
// it does when an archive is extracted.
#pragma once

#include <compare>
#include <memory>

#include <mirage/module/kv.hpp>
#include <mirage/store/tar/scanner.hpp>

namespace mirage::store::tar {

/// Order of keys in which what is below a directory follows it at once: "a", "a/b", "a-b".
[[nodiscard]] std::strong_ordering compare_keys(std::string_view a, std::string_view b) noexcept;

class Index {
 public:
  static constexpr std::size_t maximum_members = 64 * 1024;
  static constexpr std::size_t maximum_name_bytes = std::size_t{4} << 20;

  struct Entry {
    const char* name = nullptr;
    std::uint32_t name_size = 0;
    bool directory = false;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::int64_t mtime = 0;
    [[nodiscard]] std::string_view key() const noexcept { return {name, name_size}; }
  };

  // The limits are of keys: how often one is set does not count, or an archive that was appended to would not start.
  enum class Outcome : std::uint8_t { added, full, no_memory };
  /// Appends or replaces; find() and list() need finish() after that. Precondition: `key` is valid and not empty.
  Outcome add(std::string_view key, const Member& member) noexcept;
  /// Makes sure that insert() of this key will succeed. Precondition: finish().
  Outcome reserve(std::string_view key) noexcept;
  /// Sorts; of equal keys the one that was added last stays.
  void finish() noexcept;
  /// Adds or replaces in a finished index. Precondition: reserve(key) succeeded.
  void insert(std::string_view key, const Member& member) noexcept;

  /// The entry of this key; nullptr when there is none (a directory need not have one).
  [[nodiscard]] const Entry* find(std::string_view key) const noexcept;
  /// A value; a directory (with an entry of its own, or values below it); or absent.
  [[nodiscard]] KvKind kind_of(std::string_view key) const noexcept;
  /// Fills the page with what is directly below the directory and follows `after`.
  void list(std::string_view directory, std::string_view after, std::size_t maximum, KvPage& page) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  struct Names {  // blocks of text that never move
    std::unique_ptr<Names> next;
    std::size_t used = 0;
    static constexpr std::size_t capacity = 16 * 1024;
    char text[capacity];  // NOLINT(modernize-avoid-c-arrays)
    ~Names();
  };
  [[nodiscard]] const char* keep(std::string_view key) noexcept;
  [[nodiscard]] bool is_full(std::string_view key) const noexcept {
    return count_ == maximum_members || maximum_name_bytes - name_bytes_ < key.size();
  }
  Outcome make_room(std::string_view key) noexcept;
  [[nodiscard]] bool compact() noexcept;
  /// A name for the entry behind the last. Precondition: !is_full(key).
  Outcome append(std::string_view key) noexcept;
  [[nodiscard]] Entry* known(std::string_view key) noexcept;
  static void describe(Entry& entry, const Member& member) noexcept;
  [[nodiscard]] std::size_t lower_bound(std::string_view key) const noexcept;

  std::unique_ptr<Entry[]> entries_;
  std::size_t count_ = 0;
  std::size_t sorted_ = 0;  ///< of these, without duplicates
  std::size_t capacity_ = 0;
  std::unique_ptr<Names> names_;
  std::size_t name_bytes_ = 0;
  bool has_waste_ = false;  ///< names of what was replaced, or could not be written
  bool waits_ = false;      ///< a name behind the last entry, for insert()
};

}  // namespace mirage::store::tar
