// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include <mirage/store/tree/core.hpp>

namespace mirage::store::tree {

Core::~Core() {
  while (View* view = views_.pop_front()) delete view;
}

bool Core::create(std::size_t cache_pages) noexcept {
  const std::size_t depth = device_.geometry().queue_depth;
  lanes_ = std::clamp<std::size_t>(std::min(depth, cache_pages / 128), 1, maximum_lanes);
  staging_.reset(static_cast<std::byte*>(std::aligned_alloc(page_size, lanes_ * staging_pages * page_size)));
  // Places of pages are a twentieth of the cache, and of eight times as many pages.
  return staging_ != nullptr && tree_.cache().create(cache_pages) &&
         places_.assign(std::bit_floor(8 * std::max(cache_pages, Cache::minimum_frames)), Place{});
}

void Core::publish(std::unique_ptr<View> view, bool is_committed) noexcept {
  View* before = current();
  view->references = 1;
  views_.push_back(*view.release());
  if (before != nullptr) release(*before);
  if (!is_committed) return;
  View* older = std::exchange(committed_, current());
  retain(*committed_);
  if (older != nullptr) release(*older);
}

void Core::release(View& view) noexcept {
  if (--view.references != 0) return;
  View* older = nullptr;
  for (View* each = views_.front(); each != &view; each = views_.next(*each)) older = each;
  // What a state holds can be reused when neither it nor an older one is seen any more.
  if (older == nullptr) {
    tree_.space().release(view.held);
  } else if (!older->held.take(view.held)) {
    return;  // no memory to join them: it goes with the older one
  }
  delete &view;
  while (View* oldest = views_.front()) {
    if (oldest->references != 0) break;
    tree_.space().release(oldest->held);
    delete oldest;
  }
}

std::size_t Core::view_count() noexcept {
  std::size_t count = 0;
  for (View* each = views_.front(); each != nullptr; each = views_.next(*each)) ++count;
  return count;
}

Task<Result<void, KvError>> Core::attempt(StepFunction step) {
  // A step needs a bounded number of nodes, which stay in memory from one try to the next unless others crowd them out.
  for (int tries = 0; tries < 256; ++tries) {
    const Step<void> done = step();
    if (done) co_return Result<void, KvError>{};
    if (!done.error().is_miss) co_return Failure{done.error().error};
    MIRAGE_CO_CHECK(co_await load(done.error().ref, done.error().level));
  }
  co_return Failure{KvError::no_memory};
}

Task<Result<void, KvError>> Core::load(Ref ref, std::uint8_t level) {
  Cache& cache = tree_.cache();
  if (ref.number() < first_page || ref.number() >= tree_.space().pages()) co_return Failure{KvError::corrupt};
  const Cache::Index frame = cache.take();
  if (frame == Cache::none) co_return Failure{KvError::no_memory};
  ++counters_.node_reads;
  const auto read = co_await read_pages(ref.number(), {cache.data(frame), page_size});
  // Somebody else may have loaded it meanwhile.
  if (!read || cache.find(ref.number()) != Cache::none) {
    cache.release(frame);
    co_return read;
  }
  if (!accept(ref, level, {cache.data(frame), page_size})) {
    cache.release(frame);
    ++counters_.corrupt;
    co_return Failure{KvError::corrupt};
  }
  cache.insert(frame, ref.number());
  cache.seal(frame, ref.sum);
  co_return Result<void, KvError>{};
}

bool Core::accept(const Ref& ref, std::uint8_t level, Bytes bytes) noexcept {
  return checksum(seed_of(state().id, ref.number()), bytes) == ref.sum &&
         Node::valid(bytes, level, tree_.space().pages());
}

bool Core::matches(std::uint32_t page, Bytes bytes, std::uint64_t sum) noexcept {
  if (checksum(seed_of(state().id, page), bytes) == sum) return true;
  ++counters_.corrupt;
  return false;
}

Bytes Core::kept(const PageAt& at) noexcept {
  Cache& cache = tree_.cache();
  const Cache::Index frame = cache.find_data(at.page);
  if (frame == Cache::none || !cache.holds(frame, {at.page, at.sum})) return {};
  ++counters_.data_hits;
  return {cache.data(frame), page_size};
}

void Core::keep(const PageAt& at, Bytes bytes) noexcept {
  Cache& cache = tree_.cache();
  // Somebody else may have read it meanwhile.
  if (cache.find_data(at.page) != Cache::none || !cache.admits_data()) return;
  const Cache::Index frame = cache.take();
  if (frame == Cache::none) return;
  std::memcpy(cache.data(frame), bytes.data(), page_size);
  cache.insert_data(frame, at.page, at.sum);
}

namespace {
Result<void, KvError> as_kv_result(const BlockResult& done) noexcept {
  if (!done) return Failure{as_kv_error(done.error())};
  return {};
}
}  // namespace

Quick<Result<void, KvError>> Core::read_pages(std::uint32_t page, MutableBytes bytes) {
  const std::uint64_t sector = std::uint64_t{page} * (page_size / device_.geometry().sector_size);
  auto request = device_.read(sector, bytes);
  if (request.is_ready()) return as_kv_result(request.take());
  return wait_for(std::move(request));
}

Task<Result<void, KvError>> Core::wait_for(Quick<BlockResult> request) { co_return as_kv_result(co_await request); }

void Core::remember(const Root& root, std::string_view key, const NameRecord& record) noexcept {
  if (!record.is_object || key.size() > recent_.memory.size()) return;
  if (++epoch_ == 0) {
    for (Place& place : places_) place = {};
    epoch_ = 1;
  }
  recent_.root = root.ref;
  std::ranges::copy(key, recent_.memory.begin());
  recent_.size = key.size();
  recent_.record = record;
}

}  // namespace mirage::store::tree
