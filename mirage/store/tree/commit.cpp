// SPDX-License-Identifier: ISC
// How a transaction becomes the state: data, nodes, flush, superblock, flush (or a superblock by FUA). A crash before
// the superblock is whole leaves the state before; one after it, the new one. A state that is staged has no superblock:
// it is there for readers and for the transactions that follow, and the next superblock is of one of these.
#include <algorithm>
#include <cstring>
#include <new>

#include <mirage/async/scope.hpp>
#include <mirage/store/tree/writer.hpp>

namespace mirage::store::tree {

Task<Writer::Outcome> Writer::spill_if_needed() {
  if (must_spill()) co_return co_await spill();
  co_return Outcome{};
}

Task<Writer::Outcome> Writer::spill() {
  // Early: nothing refers to these pages yet.
  MIRAGE_CO_CHECK(core_.tree().seal(next_.id, next_.root));
  co_return co_await write_nodes(Cache::Which::leaves);
}

Task<Writer::Outcome> Writer::stage() {
  std::unique_ptr<View> view{new (std::nothrow) View};
  if (view == nullptr) co_return Failure{KvError::no_memory};
  MIRAGE_CO_CHECK(core_.tree().complete(next_.id, next_.root));
  MIRAGE_CO_CHECK(co_await write_nodes());
  publish(std::move(view), false);
  ++core_.counters().stages;
  co_return Outcome{};
}

Task<Writer::Outcome> Writer::commit() {
  if (next_.generation >= last_number) co_return Failure{KvError::no_space};
  std::unique_ptr<View> view{new (std::nothrow) View};
  if (view == nullptr) co_return Failure{KvError::no_memory};
  MIRAGE_CO_CHECK(core_.tree().complete(next_.id, next_.root));
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

/// The dirty nodes in the order of their pages, neighbours in one request, several requests at a time where the device
/// has a queue: all are complete when this is. What waits goes before: the buffer is the same.
Task<Writer::Outcome> Writer::write_nodes(Cache::Which which) {
  MIRAGE_CO_CHECK(co_await write_data());
  Cache& cache = core_.tree().cache();
  Job job{.frames = cache.sort_dirty(which), .outcome = {}};
  const std::size_t count = job.frames.size();
  Scope scope{shard()};
  // Most commits are of some nodes side by side, which are one request.
  const bool is_one = count <= Core::staging_pages && count != 0 &&
                      cache.page(job.frames.back()) - cache.page(job.frames.front()) == count - 1;
  for (std::size_t lane = 1; lane < std::min(core_.lanes(), is_one ? 1 : count); ++lane) {
    if (!scope.spawn(write_beside(job, lane))) break;
  }
  const Outcome own = co_await write_runs(job, 0);
  co_await scope.join();
  MIRAGE_CO_CHECK(own);
  MIRAGE_CO_CHECK(job.outcome);
  cache.clear_dirty(count);
  co_return Outcome{};
}

/// One of several: each takes the next run that nobody has taken, until one fails.
Task<Writer::Outcome> Writer::write_runs(Job& job, std::size_t lane) {
  const MutableBytes memory = core_.lane(lane);
  while (!job.frames.empty() && job.outcome) {
    const std::uint32_t page = core_.tree().cache().page(job.frames.front());
    const std::size_t count = gather(job.frames, memory);
    job.frames = job.frames.subspan(count);
    const Outcome written = co_await write_pages(page, memory.first(count * page_size));
    if (!written) job.outcome = written;
  }
  co_return Outcome{};
}

/// Without memory to begin it takes nothing: the others do it.
Task<void> Writer::write_beside(Job& job, std::size_t lane) { (void)co_await write_runs(job, lane); }

/// Copies nodes of successive pages; how many.
std::size_t Writer::gather(std::span<const Cache::Index> frames, MutableBytes to) noexcept {
  Cache& cache = core_.tree().cache();
  std::size_t count = 0;
  while (count < std::min(frames.size(), Core::staging_pages) &&
         cache.page(frames[count]) == cache.page(frames.front()) + count) {
    std::memcpy(to.data() + count * page_size, cache.data(frames[count]), page_size);
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
