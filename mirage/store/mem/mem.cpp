// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/mem/mem.hpp>

namespace mirage::store {

namespace mem {

Ready<Result<KvInfo, KvError>> View::info(std::string_view key) noexcept {
  return Ready{table_.value(key).transform([](const Entry* entry) noexcept {
    KvInfo info;
    info.size = entry->size;
    info.last_modified = entry->modified;
    return info;
  })};
}

Ready<Result<SliceList, KvError>> View::get(std::string_view key, std::uint64_t offset, std::uint64_t length) noexcept {
  return Ready{read(key, offset, length)};
}

Result<SliceList, KvError> View::read(std::string_view key, std::uint64_t offset, std::uint64_t length) const noexcept {
  MIRAGE_TRY(const Entry* entry, table_.value(key));
  if (offset >= entry->size && !(offset == 0 && entry->size == 0)) return Failure{KvError::out_of_range};
  const std::uint64_t count = std::min({length, entry->size - offset, std::uint64_t{64} << 10});
  Slice slice = shard_->buffers().copy(entry->value().subspan(offset, count));
  if (slice.empty() && count != 0) return Failure{KvError::no_memory};
  return SliceList{std::move(slice)};
}

Ready<Result<KvKind, KvError>> View::exists(std::string_view key) noexcept {
  if (!valid_key(key)) return Ready<Result<KvKind, KvError>>{Failure{KvError::invalid_key}};
  return Ready<Result<KvKind, KvError>>{table_.kind(key)};
}

Ready<Result<KvPage, KvError>> View::list(std::string_view directory, std::string_view after,
                                          std::size_t maximum) noexcept {
  return Ready{table_.list(shard_->buffers(), directory, after, maximum)};
}

Ready<Result<KvDigest, KvError>> View::digest(std::string_view key) noexcept {
  return Ready{table_.value(key).transform([](const Entry* entry) noexcept {
    return KvDigest{KvDigest::Basis::version, Text<24>{"{}", entry->version}.view()};
  })};
}

}  // namespace mem

Mem::Outcome Mem::apply(const KvChange& change) noexcept {
  budget.now = shard().wall();
  return Outcome{table().apply(change)};
}

Mem::Outcome Mem::set(std::string_view key, Bytes value) noexcept {
  return apply({.kind = KvChange::Kind::set, .key = key, .value = value});
}

Mem::Outcome Mem::set_partial(std::string_view key, std::uint64_t offset, Bytes bytes) noexcept {
  return apply({.kind = KvChange::Kind::set_partial, .key = key, .value = bytes, .offset = offset});
}

Mem::Outcome Mem::remove(std::string_view key) noexcept { return apply({.kind = KvChange::Kind::remove, .key = key}); }

Mem::Outcome Mem::rename(std::string_view from, std::string_view to) noexcept {
  return apply({.kind = KvChange::Kind::rename, .key = from, .to = to});
}

Mem::Outcome Mem::batch(std::span<const KvChange> changes) noexcept {
  mem::Table changed{budget};
  budget.now = shard().wall();
  if (const auto shared = changed.share(table()); !shared) return Outcome{shared};
  for (const KvChange& change : changes) {
    if (const auto applied = changed.apply(change); !applied) return Outcome{applied};
  }
  table() = std::move(changed);
  return Outcome{Result<void, KvError>{}};
}

Ready<Result<Mem::Snapshot, KvError>> Mem::snapshot() noexcept {
  mem::Table copy{budget};
  if (const auto shared = copy.share(table()); !shared)
    return Ready<Result<Snapshot, KvError>>{Failure{shared.error()}};
  return Ready<Result<Snapshot, KvError>>{Snapshot{shard(), std::move(copy)}};
}

}  // namespace mirage::store
