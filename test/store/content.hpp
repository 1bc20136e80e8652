// SPDX-License-Identifier: ISC
// What a store holds, for comparing it with what it should.
#pragma once

#include <map>
#include <string>

#include <mirage/async/task.hpp>
#include <mirage/module/kv.hpp>

namespace mirage::test {

/// Values by key.
using Content = std::map<std::string, std::string>;

/// Adds everything below the directory. False: something cannot be listed or read.
template <KvRo K>
Task<bool> read_all(Shard& shard, K& store, std::string directory, Content& out) {
  std::string after;
  while (true) {
    const auto page = co_await store.list(directory, after, 1'000);
    if (!page) co_return false;
    for (const KvEntry entry : *page) {
      after = entry.name;
      const std::string key = directory.empty() ? after : directory + "/" + after;
      if (entry.kind == KvKind::directory) {
        if (!co_await read_all(shard, store, key, out)) co_return false;
        continue;
      }
      std::string& value = out[key];
      while (value.size() < entry.size) {
        const auto part = co_await store.get(key, value.size(), entry.size);
        if (!part || part->empty()) co_return false;
        for (const Slice& slice : *part) value += slice.text();
      }
    }
    if (!page->more()) co_return true;
  }
}

}  // namespace mirage::test
