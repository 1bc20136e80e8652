// SPDX-License-Identifier: ISC
// Values in memory in the order of their keys, counted against a bound. Entries are shared between tables (the store's,
// those of snapshots) and are not written to while they are.
#pragma once

#include <cstdint>
#include <string_view>

#include <mirage/base/buffer.hpp>
#include <mirage/module/kv.hpp>

namespace mirage::store::mem {

/// What the tables of a store may take from the allocator, and what they took.
struct Budget {
  std::size_t bound = 0;
  std::size_t used = 0;
  std::uint64_t refused = 0;  ///< allocations that the bound or the allocator refused
  std::uint64_t version = 0;  ///< of the last value written
  WallTime now{};             ///< when what is being written is
  [[nodiscard]] void* allocate(std::size_t size) noexcept;
  void free(void* memory, std::size_t size) noexcept;
};

/// One value: this header, the key, room for the value.
struct Entry {
  std::uint32_t references = 1;
  std::uint32_t key_size = 0;
  std::size_t size = 0;
  std::size_t capacity = 0;
  std::uint64_t version = 0;
  WallTime modified{};
  [[nodiscard]] char* text() noexcept { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] std::string_view key() const noexcept { return {reinterpret_cast<const char*>(this + 1), key_size}; }
  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(text() + key_size); }
  [[nodiscard]] Bytes value() const noexcept { return {reinterpret_cast<const std::byte*>(this + 1) + key_size, size}; }
};

/// Keys in an order in which `/` comes before every other byte: what is below a directory follows where its own key
/// would stand, with nothing in between.
class Table {
 public:
  explicit Table(Budget& budget) noexcept : budget_(&budget) {}
  Table(Table&& other) noexcept;
  Table& operator=(Table&& other) noexcept;
  ~Table() { clear(); }

  /// Shares the entries; an error leaves this table empty.
  [[nodiscard]] Result<void, KvError> share(const Table& other) noexcept;
  void clear() noexcept;

  /// nullptr when there is no such value.
  [[nodiscard]] const Entry* find(std::string_view key) const noexcept;
  /// find(), with the error that says why there is none.
  [[nodiscard]] Result<const Entry*, KvError> value(std::string_view key) const noexcept;
  [[nodiscard]] KvKind kind(std::string_view key) const noexcept;
  [[nodiscard]] Result<KvPage, KvError> list(BufferPool& pool, std::string_view directory, std::string_view after,
                                             std::size_t maximum) const noexcept;
  /// Whole or nothing.
  [[nodiscard]] Result<void, KvError> apply(const KvChange& change) noexcept;

 private:
  [[nodiscard]] std::size_t lower_bound(std::string_view key) const noexcept;
  [[nodiscard]] std::size_t end_of_directory(std::string_view key, std::size_t at) const noexcept;
  [[nodiscard]] bool holds(std::size_t at, std::string_view key) const noexcept;
  /// Whether `key` may become a value.
  [[nodiscard]] Result<void, KvError> check_place(std::string_view key) const noexcept;
  /// An entry of this key that only this table has, in its place, with room for `size` bytes; its value is kept, cut or
  /// filled with zeros to that size.
  [[nodiscard]] Result<Entry*, KvError> open(std::string_view key, std::size_t size, bool keep) noexcept;
  [[nodiscard]] Entry* make(std::string_view key, std::size_t capacity) noexcept;
  void release(Entry* entry) noexcept;
  [[nodiscard]] bool insert(std::size_t at, Entry* entry) noexcept;
  void erase(std::size_t first, std::size_t last) noexcept;
  [[nodiscard]] Result<void, KvError> set(std::string_view key, std::uint64_t offset, Bytes bytes, bool keep) noexcept;
  [[nodiscard]] Result<void, KvError> resize(std::string_view key, std::uint64_t size) noexcept;
  [[nodiscard]] Result<void, KvError> remove(std::string_view key) noexcept;
  [[nodiscard]] Result<void, KvError> rename(std::string_view from, std::string_view to) noexcept;
  Budget* budget_;
  Entry** items_ = nullptr;
  std::size_t count_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace mirage::store::mem
