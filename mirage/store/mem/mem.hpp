// SPDX-License-Identifier: ISC
// A key-value store in memory, bounded in bytes: gone when the image ends. Every operation finishes at once. Snapshots
// share the values and count against the same bound.
#pragma once

#include <span>

#include <mirage/base/counters.hpp>
#include <mirage/module/kv.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/store/mem/table.hpp>

namespace mirage::store {

namespace mem {

/// What a store and its snapshots have in common.
class View {
 public:
  View(Shard& shard, Table table) noexcept : shard_(&shard), table_(std::move(table)) {}
  [[nodiscard]] Shard& shard() noexcept { return *shard_; }

  Ready<Result<KvInfo, KvError>> info(std::string_view key) noexcept;
  /// At most 64 KiB, copied.
  Ready<Result<SliceList, KvError>> get(std::string_view key, std::uint64_t offset, std::uint64_t length) noexcept;
  Ready<Result<KvKind, KvError>> exists(std::string_view key) noexcept;
  Ready<Result<KvPage, KvError>> list(std::string_view directory, std::string_view after, std::size_t maximum) noexcept;
  Ready<Result<KvDigest, KvError>> digest(std::string_view key) noexcept;

 protected:
  [[nodiscard]] Table& table() noexcept { return table_; }
  [[nodiscard]] const Table& table() const noexcept { return table_; }

 private:
  [[nodiscard]] Result<SliceList, KvError> read(std::string_view key, std::uint64_t offset,
                                                std::uint64_t length) const noexcept;
  Shard* shard_;
  Table table_;
};

/// The budget is made before the table and outlives it.
struct Owner {
  Budget budget;
};

}  // namespace mem

class Mem : private mem::Owner, public mem::View {
 public:
  class Snapshot : public mem::View {
   public:
    using View::View;
  };
  using Outcome = Ready<Result<void, KvError>>;

  /// At most `bytes` are taken from the allocator for keys, values and snapshots.
  Mem(Shard& shard, std::size_t bytes) noexcept : Owner{{.bound = bytes}}, View(shard, mem::Table{budget}) {}

  Outcome set(std::string_view key, Bytes value) noexcept;
  Outcome set_partial(std::string_view key, std::uint64_t offset, Bytes bytes) noexcept;
  Outcome remove(std::string_view key) noexcept;
  Outcome rename(std::string_view from, std::string_view to) noexcept;
  /// Takes memory for a second table of the keys while it runs.
  Outcome batch(std::span<const KvChange> changes) noexcept;
  Ready<Result<Snapshot, KvError>> snapshot() noexcept;

  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.gauge("mem", "bytes", budget.used);
    visitor.gauge("mem", "refused", budget.refused);
  }

 private:
  Outcome apply(const KvChange& change) noexcept;
};

}  // namespace mirage::store
