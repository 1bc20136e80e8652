// SPDX-License-Identifier: ISC
// A key-value store on a block device that survives a crash at any write: a copy-on-write B+tree with checksums on
// every page, atomic batches, snapshots, and group commit. What an operation has acknowledged is on the disk.
// doc/tree.md.
#pragma once

#include <mirage/store/tree/store.hpp>

namespace mirage::store {

template <Block B>
class Tree {
 public:
  using Options = tree::Options;
  using Snapshot = tree::Reader;
  using Outcome = Task<Result<void, KvError>>;

  Tree(Shard& shard, B& block, const Options& options = {}) noexcept
      : device_(shard, block), store_(shard, device_, options) {}
  [[nodiscard]] Shard& shard() noexcept { return store_.shard(); }
  Task<Result<void, StartError>> start() { return store_.open(); }
  [[nodiscard]] const tree::Counters& counters() const noexcept { return store_.counters(); }
  /// Formatting, checking, and what else needs no type of block.
  [[nodiscard]] tree::Store& store() noexcept { return store_; }

  auto info(std::string_view key) { return tree::info(store_.core(), store_.view(), key); }
  auto get(std::string_view key, std::uint64_t offset, std::uint64_t length) {
    return tree::get(store_.core(), store_.view(), key, offset, length);
  }
  auto read_into(std::string_view key, std::uint64_t offset, MutableBytes in) {
    return tree::read_into(store_.core(), store_.view(), key, offset, in);
  }
  auto exists(std::string_view key) { return tree::exists(store_.core(), store_.view(), key); }
  auto list(std::string_view directory, std::string_view after, std::size_t maximum) {
    return tree::list(store_.core(), tree::ViewRef{store_.core(), store_.view()}, directory, after, maximum);
  }
  /// The number of the commit that wrote the value.
  auto digest(std::string_view key) { return tree::digest(store_.core(), store_.view(), key); }

  Outcome set(std::string_view key, Bytes value) {
    return store_.change_one({.kind = KvChange::Kind::set, .key = key, .value = value});
  }
  Outcome set_partial(std::string_view key, std::uint64_t offset, Bytes bytes) {
    return store_.change_one({.kind = KvChange::Kind::set_partial, .key = key, .value = bytes, .offset = offset});
  }
  Outcome remove(std::string_view key) { return store_.change_one({.kind = KvChange::Kind::remove, .key = key}); }
  Outcome rename(std::string_view from, std::string_view to) {
    return store_.change_one({.kind = KvChange::Kind::rename, .key = from, .to = to});
  }
  Outcome batch(std::span<const KvChange> changes) { return store_.change(changes); }
  /// Nothing is flushed, and no superblock written; until the next batch() what it replaces takes room.
  Outcome stage(std::span<const KvChange> changes) { return store_.change(changes, tree::Commitment::staged); }
  auto snapshot() { return store_.snapshot(); }

  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("tree", counters_of(store_.counters()));
  }

 private:
  DiskOf<B> device_;
  tree::Store store_;
};

}  // namespace mirage::store
