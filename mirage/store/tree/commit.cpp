// SPDX-License-Identifier: ISC
// How a transaction becomes the state: data, nodes, flush, superblock, flush (or a superblock by FUA). A crash before
// the superblock is whole leaves the state before; one after it, the new one. A state that is staged has no superblock:
// it is there for readers and for the transactions that follow, and the next superblock is of one of these.
#include <algorithm>
#include <cstring>
#include <new>

#include <mirage/store/tree/writer.hpp>

namespace mirage::store::tree {

Task<Writer::Outcome> Writer::spill_if_needed() {
  if (must_spill()) co_return co_await spill();
  co_return Outcome{};
}

Task<Writer::Outcome> Writer::spill() {
  // Early: nothing refers to these pages yet.
  core_.tree().seal(next_.id, next_.root);
  co_return co_await write_nodes();
}

Task<Writer::Outcome> Writer::stage() {
  std::unique_ptr<View> view{new (std::nothrow) View};
  if (view == nullptr) co_return Failure{KvError::no_memory};
  core_.tree().seal(next_.id, next_.root);
  MIRAGE_CO_CHECK(co_await write_nodes());
  publish(std::move(view), false);
  ++core_.counters().stages;
  co_return Outcome{};
}

Task<Writer::Outcome> Writer::commit() {
  std::unique_ptr<View> view{new (std::nothrow) View};
  if (view == nullptr) co_return Failure{KvError::no_memory};
  core_.tree().seal(next_.id, next_.root);
  MIRAGE_CO_CHECK(co_await write_nodes());
  MIRAGE_CO_CHECK(co_await flush());
  // Never to the committed state's own pair of pages.
  if (next_.generation % 2 == core_.committed().generation % 2) ++next_.generation;
  const auto written = co_await write_superblock(with_use());
  // From here on no memory to ask is a failure, too: part of it may have been written.
  failed_ = failed_ || !written;
  MIRAGE_CO_CHECK(written);
  publish(std::move(view), true);
  ++core_.counters().commits;
  co_return Outcome{};
}

const Superblock& Writer::with_use() noexcept {
  next_.used = core_.state().used + static_cast<std::uint64_t>(core_.tree().balance());
  return next_;
}

void Writer::publish(std::unique_ptr<View> view, bool is_committed) noexcept {
  view->state = with_use();
  // That of the state that nobody has followed yet is empty: no memory is needed.
  (void)core_.current()->held.take(core_.tree().given_up());
  core_.publish(std::move(view), is_committed);
  core_.tree().finish();
}

Task<Writer::Outcome> Writer::write_superblock(const Superblock& state) {
  const MutableBytes pair = core_.staging().first(2 * page_size);
  const auto slot = static_cast<std::uint32_t>(2 * (state.generation % 2));
  state.encode(pair.first(page_size), slot);
  state.encode(pair.subspan(page_size), slot + 1);
  if (core_.device().geometry().durability == Durability::fua) {
    ++core_.counters().durable;
    ++core_.counters().writes;
    core_.counters().pages_written += 2;
    co_return note(co_await core_.device().write_durable(sector_of(slot), pair));
  }
  MIRAGE_CO_CHECK(co_await write_pages(slot, pair));
  co_return co_await flush();
}

/// The data that waits, in one request. It waits on when there is no memory to ask for that: it may be of operations
/// that were done before the one that fails.
Task<Writer::Outcome> Writer::write_data() {
  if (data_.count == 0) co_return Outcome{};
  const Bytes bytes = core_.staging().subspan(data_.at * page_size, data_.count * page_size);
  MIRAGE_CO_CHECK(co_await write_pages(data_.page, bytes));
  data_ = {};
  co_return Outcome{};
}

/// The dirty nodes in the order of their pages, neighbours in one request. What waits goes before: the buffer is the
/// same.
Task<Writer::Outcome> Writer::write_nodes() {
  MIRAGE_CO_CHECK(co_await write_data());
  Cache& cache = core_.tree().cache();
  std::span<const Cache::Index> frames = cache.sort_dirty();
  while (!frames.empty()) {
    const std::uint32_t page = cache.page(frames.front());
    const std::size_t count = gather(frames);
    MIRAGE_CO_CHECK(co_await write_pages(page, core_.staging().first(count * page_size)));
    frames = frames.subspan(count);
  }
  cache.clear_dirty();
  co_return Outcome{};
}

/// Copies nodes of successive pages; how many.
std::size_t Writer::gather(std::span<const Cache::Index> frames) noexcept {
  Cache& cache = core_.tree().cache();
  std::size_t count = 0;
  while (count < std::min(frames.size(), Core::staging_pages) &&
         cache.page(frames[count]) == cache.page(frames.front()) + count) {
    std::memcpy(core_.staging().data() + count * page_size, cache.data(frames[count]), page_size);
    ++count;
  }
  return count;
}

Task<Writer::Outcome> Writer::write_pages(std::uint32_t page, Bytes bytes) {
  ++core_.counters().writes;
  core_.counters().pages_written += bytes.size() / page_size;
  const auto written = co_await core_.device().write(sector_of(page), bytes);
  co_return note(written);
}

/// A failure to ask for something is none of the device's.
Writer::Outcome Writer::note(const Result<void, BlockError>& result) noexcept {
  if (result) return {};
  failed_ = failed_ || result.error() != BlockError::no_memory;
  return Failure{as_kv_error(result.error())};
}

Task<Writer::Outcome> Writer::flush() {
  // open() has asked whether that is wanted.
  if (core_.device().geometry().durability == Durability::none) co_return Outcome{};
  ++core_.counters().flushes;
  const auto flushed = co_await core_.device().flush();
  co_return note(flushed);
}

}  // namespace mirage::store::tree
