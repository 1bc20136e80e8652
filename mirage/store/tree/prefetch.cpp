// SPDX-License-Identifier: ISC
// Reading ahead of a batch whose nodes are not in memory: a device with a queue serves many requests in little more
// time than one. The tree does not change meanwhile, and a node that cannot be read is found by the change that needs
// it.
#include <algorithm>

#include <mirage/async/scope.hpp>
#include <mirage/store/tree/writer.hpp>

namespace mirage::store::tree {

namespace {

constexpr std::size_t maximum_readers = 32;

/// Loads the leaf that the key is in, or would be.
Step<void> visit_leaf(Btree& tree, const Root& root, std::string_view key) noexcept {
  if (root.levels == 0 || !valid_key(key)) return {};
  const StoredKey stored{key};
  tree.begin_step();
  MIRAGE_CHECK(tree.seek_leaf(root, stored.view()));
  return {};
}

/// One of several: each takes the next change that nobody has taken.
Task<void> read_leaves(Core& core, Root root, std::span<const KvChange> changes, std::size_t& next) {
  while (next < changes.size()) {
    const std::string_view key = changes[next++].key;
    auto step = [&]() noexcept -> Step<void> { return visit_leaf(core.tree(), root, key); };
    if (step()) continue;
    if (!co_await core.attempt(step)) co_return;
  }
}

}  // namespace

std::size_t Writer::reach() noexcept {
  if (core_.device().geometry().queue_depth < 2) return 0;
  return std::min<std::size_t>(64, core_.tree().cache().frames() / 8);
}

Task<Writer::Outcome> Writer::read_ahead(std::span<const KvChange> changes) {
  Scope scope{shard()};
  std::size_t next = 0;
  const std::size_t readers =
      std::min<std::size_t>({maximum_readers, core_.device().geometry().queue_depth, changes.size()});
  for (std::size_t i = 0; i < readers; ++i) {
    if (!scope.spawn(read_leaves(core_, next_.root, changes, next))) break;
  }
  co_await scope.join();
  core_.counters().ahead += next;
  co_return Outcome{};
}

}  // namespace mirage::store::tree
