// SPDX-License-Identifier: ISC
// The writing store's values as files (KvInPlace): changed where they lie, cut, extended with zeros.
#include <algorithm>
#include <array>

#include <mirage/store/fat/fat.hpp>

namespace mirage::store {

using fat::Found;
using fat::Type;

Task<FatCore::Done> FatCore::overwrite(std::string_view key, std::uint64_t offset, Bytes bytes) {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (failed_) co_return Failure{KvError::io};
  co_return co_await settle(co_await overwrite_now(key, offset, bytes));
}

Task<FatCore::Done> FatCore::resize(std::string_view key, std::uint64_t size) {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (failed_) co_return Failure{KvError::io};
  co_return co_await settle(co_await resize_now(key, size));
}

Task<FatCore::Done> FatCore::sync() {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (failed_) co_return Failure{KvError::io};
  co_return co_await commit();
}

Task<FatCore::Done> FatCore::overwrite_now(std::string_view key, std::uint64_t offset, Bytes bytes) {
  const auto place = co_await walk_to_value(key);
  if (!place) co_return Failure{place.error()};
  const std::uint64_t size = place->found ? place->found->entry.size : 0;
  if (offset > size || bytes.size() > size - offset) co_return Failure{KvError::out_of_range};
  if (bytes.empty()) co_return Done{};
  if (is_protected(*place->found)) co_return Failure{KvError::read_only};
  co_return co_await write_range(place->found->entry.cluster, offset, bytes, false);
}

Task<FatCore::Done> FatCore::resize_now(std::string_view key, std::uint64_t size) {
  if (size > maximum_size) co_return Failure{KvError::no_space};
  const auto place = co_await walk_to_value(key);
  if (!place) co_return Failure{place.error()};
  const std::uint64_t old = place->found ? place->found->entry.size : 0;
  if (size == old) co_return Done{};
  if (place->found && is_protected(*place->found)) co_return Failure{KvError::read_only};
  const auto target = static_cast<std::uint32_t>(size);
  if (old == 0) co_return co_await make_zeros(key, target);
  if (size < old) co_return co_await shrink(*place->found, target);
  co_return co_await grow(*place->found, target);
}

/// A value of zeros where there was none, or an empty one: like set_now().
Task<FatCore::Done> FatCore::make_zeros(std::string_view key, std::uint32_t size) {
  const auto place = co_await prepare(key);
  if (!place) co_return Failure{place.error()};
  const auto chain = co_await allocate(clusters_for(size));
  if (!chain) co_return Failure{chain.error()};
  auto done = co_await zero_range(*chain, 0, size, true);
  if (done) done = co_await commit();
  if (!done) co_return done;
  if (place->found) {
    done = co_await update(*place->found, *chain, size);
    if (done) done = co_await release(place->found->entry.cluster);
    co_return done;
  }
  done = co_await create(place->parent, *place->name, {.cluster = *chain, .size = size, .stamp = stamp()});
  if (!done && done.error() == KvError::no_space) (void)co_await release(*chain);
  co_return done;
}

/// As write_within(): zeros are there before the chain is longer, the chain before the size.
Task<FatCore::Done> FatCore::grow(const Found& found, std::uint32_t size) {
  const std::uint64_t old = found.entry.size;
  const std::uint32_t have = clusters_for(old);
  const std::uint64_t held = std::uint64_t{have} * layout.cluster_size();
  const auto tail = co_await seek(found.entry.cluster, have - 1);
  if (!tail) co_return Failure{tail.error()};
  std::uint32_t more = no_cluster;
  if (size > held) {
    const auto chain = co_await allocate(clusters_for(size) - have);
    if (!chain) co_return Failure{chain.error()};
    more = *chain;
  }
  // Behind the end there may be anything.
  auto done = co_await zero_range(found.entry.cluster, old, std::min<std::uint64_t>(size, held) - old, false);
  if (done && more != no_cluster) done = co_await zero_range(more, 0, size - held, true);
  if (done) done = co_await commit();
  if (done && more != no_cluster) {
    done = co_await put(*tail, more);
    if (done) done = co_await commit();
  }
  if (done) done = co_await update(found, found.entry.cluster, size);
  co_return done;
}

/// The size first, then the end of the chain, and only then what is behind it is free: never does a chain lead into
/// clusters that another value may have.
Task<FatCore::Done> FatCore::shrink(const Found& found, std::uint32_t size) {
  if (size == 0) {
    const auto done = co_await update(found, no_cluster, 0);
    if (!done) co_return done;
    co_return co_await release(found.entry.cluster);
  }
  const auto tail = co_await seek(found.entry.cluster, clusters_for(size) - 1);
  if (!tail) co_return Failure{tail.error()};
  const auto rest = co_await next(*tail);
  if (!rest) co_return Failure{rest.error()};
  auto done = co_await update(found, found.entry.cluster, size);
  // An entry in two units is not changed in one write: then the value keeps what it has.
  const bool crosses = layout.type == Type::fat12 && layout.entry_offset(*tail) % fat::unit_size + 1 == fat::unit_size;
  if (!done || *rest == no_cluster || crosses) co_return done;
  done = co_await put(*tail, end_of_chain());
  if (done) done = co_await commit();
  if (done) done = co_await release(*rest);
  co_return done;
}

Task<FatCore::Done> FatCore::zero_range(std::uint32_t first, std::uint64_t offset, std::uint64_t length, bool fresh) {
  static constexpr std::array<std::byte, 4096> zeros{};  // a multiple of every sector's size
  while (length > 0) {
    const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(length, zeros.size() - offset % zeros.size()));
    const auto done = co_await write_range(first, offset, Bytes{zeros}.first(piece), fresh);
    if (!done) co_return done;
    offset += piece;
    length -= piece;
  }
  co_return Done{};
}

}  // namespace mirage::store
