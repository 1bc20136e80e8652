// SPDX-License-Identifier: ISC
// The data of large values: runs of up to 16 pages in free space, written before their records go into the tree. Bytes
// of the last page behind the end are zero.
#include <algorithm>
#include <cstring>

#include <mirage/store/tree/reader.hpp>
#include <mirage/store/tree/writer.hpp>

namespace mirage::store::tree {

Task<Writer::Outcome> Writer::write_object(const KvChange& change, const Old& old, std::uint64_t size) {
  const bool keeps = old.record.is_object && change.kind != KvChange::Kind::set;
  if (!keeps && next_.next_object >= last_number) co_return Failure{KvError::no_space};
  const std::uint64_t object = keeps ? old.record.object : next_.next_object++;
  if (change.kind != KvChange::Kind::resize) {
    MIRAGE_CO_CHECK(co_await write_range(change, old, object));
  } else if (size < old.record.size) {
    MIRAGE_CO_CHECK(co_await cut_object(object, old.record.size, size));
  } else if (!keeps && old.record.size != 0) {
    // From the leaf to a page of its own.
    MIRAGE_CO_CHECK(co_await write_run(change, old, object, 0, 1));
  }
  // Once in a transaction: a batch has many changes of the same value.
  if (keeps && old.record.version == next_.generation && size == old.record.size) co_return Outcome{};
  std::array<std::byte, NameRecord::object_size> record;
  NameRecord{.is_object = true, .version = next_.generation, .object = object, .size = size}.encode_object(record);
  co_return co_await put_name(change.key, record);
}

namespace {

struct PageRange {
  std::uint64_t first;
  std::uint64_t end;
};

/// The pages that a change touches. One that makes a value from a leaf an object writes all of its pages.
PageRange touched(const KvChange& change, bool from_leaf) noexcept {
  const std::uint64_t begin = change.kind == KvChange::Kind::set_partial && !from_leaf ? change.offset : 0;
  const std::uint64_t offset = change.kind == KvChange::Kind::set_partial ? change.offset : 0;
  return {begin / page_size, (offset + change.value.size() + page_size - 1) / page_size};
}

}  // namespace

Task<Writer::Outcome> Writer::write_range(const KvChange& change, const Old& old, std::uint64_t object) {
  const auto [first, end] = touched(change, old.exists && !old.record.is_object);
  for (std::uint64_t index = first; index < end;) {
    const auto wanted = static_cast<std::uint32_t>(std::min<std::uint64_t>(end - index, RunRecord::maximum_pages));
    MIRAGE_CO_CHECK(co_await write_run(change, old, object, index, wanted));
    index += wanted;
  }
  co_return Outcome{};
}

/// Makes `page` hold what page `index` of the value holds before the change.
Task<Writer::Outcome> Writer::load_old_page(const KvChange& change, const Old& old, std::uint64_t index,
                                            MutableBytes page) {
  std::memset(page.data(), 0, page.size());
  if (!old.exists || change.kind == KvChange::Kind::set || index * page_size >= old.record.size) co_return Outcome{};
  std::optional<RunRecord> run;
  std::uint64_t sum = 0;
  auto step = [&]() noexcept -> Step<void> {
    if (!old.record.is_object) {
      MIRAGE_TRY(const NameRecord now, find_name(core_.tree(), next_.root, change.key));
      std::ranges::copy(now.content, page.begin());
      return {};
    }
    MIRAGE_TRY(run, find_run(core_.tree(), next_.root, old.record.object, static_cast<std::uint32_t>(index)));
    if (run && run->index > index) run.reset();
    if (run) sum = run->sum(index - run->index);
    return {};
  };
  MIRAGE_CO_CHECK(co_await core_.attempt(step));
  if (!run) co_return Outcome{};
  const auto number = static_cast<std::uint32_t>(run->page + (index - run->index));
  if (number - data_.page < data_.count) {
    std::ranges::copy(core_.staging().subspan((data_.at + (number - data_.page)) * page_size, page_size), page.begin());
  } else {
    MIRAGE_CO_CHECK(co_await core_.read_pages(number, page));
  }
  if (!core_.matches(number, page, sum)) co_return Failure{KvError::corrupt};
  co_return Outcome{};
}

namespace {

/// Puts the change's bytes over the pages from `index` on.
void overlay(const KvChange& change, std::uint64_t index, MutableBytes pages) noexcept {
  const std::uint64_t begin = index * page_size;
  const std::uint64_t offset = change.kind == KvChange::Kind::set_partial ? change.offset : 0;
  if (change.kind == KvChange::Kind::resize) {
    if (change.offset >= begin + pages.size()) return;
    // The value ends within these pages.
    const std::uint64_t kept = change.offset > begin ? change.offset - begin : 0;
    std::memset(pages.data() + kept, 0, pages.size() - kept);
    return;
  }
  const std::uint64_t from = std::max(begin, offset);
  const std::uint64_t to = std::min(begin + pages.size(), offset + change.value.size());
  if (from < to) std::memcpy(pages.data() + (from - begin), change.value.data() + (from - offset), to - from);
}

/// Whether the change writes every byte of the page.
bool covers(const KvChange& change, std::uint64_t index) noexcept {
  const std::uint64_t offset = change.kind == KvChange::Kind::set_partial ? change.offset : 0;
  return change.kind != KvChange::Kind::resize && offset <= index * page_size &&
         offset + change.value.size() >= (index + 1) * page_size;
}

}  // namespace

/// Pages [index, index + count) of the value with the change in them; in several runs when free space is in pieces.
Task<Writer::Outcome> Writer::write_run(const KvChange& change, const Old& old, std::uint64_t object,
                                        std::uint64_t index, std::uint32_t count) {
  if (data_.end() + count > Core::staging_pages) MIRAGE_CO_CHECK(co_await write_data());
  const std::uint32_t at = data_.end();
  const MutableBytes pages = core_.staging().subspan(at * page_size, std::size_t{count} * page_size);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (covers(change, index + i)) continue;
    MIRAGE_CO_CHECK(co_await load_old_page(change, old, index + i, pages.subspan(i * page_size, page_size)));
  }
  overlay(change, index, pages);
  MIRAGE_CO_CHECK(co_await clear_runs(object, index, index + count, Clear::replace));
  co_return co_await place_run(object, index, at, count);
}

/// `count` pages of the value, which are in the buffer from `at` on, into free space.
Task<Writer::Outcome> Writer::place_run(std::uint64_t object, std::uint64_t index, std::uint32_t at,
                                        std::uint32_t count) {
  for (std::uint32_t done = 0; done < count;) {
    core_.tree().begin_step();
    MIRAGE_CO_TRY(const Run space, core_.tree().allocate(count - done));
    const Bytes bytes = core_.staging().subspan((at + done) * page_size, std::size_t{space.count} * page_size);
    std::array<std::byte, 8 * RunRecord::maximum_pages> sums;
    for (std::uint32_t i = 0; i < space.count; ++i) {
      store_little(MutableBytes{sums}, 8 * i,
                   checksum(seed_of(next_.id, space.first + i), bytes.subspan(i * page_size, page_size)));
    }
    const RunRecord run{.object = object,
                        .index = static_cast<std::uint32_t>(index + done),
                        .page = space.first,
                        .count = space.count,
                        .sums = Bytes{sums}.first(8 * space.count)};
    if (data_.count == 0 || data_.page + data_.count != space.first) {
      MIRAGE_CO_CHECK(co_await write_data());
      data_ = {.page = space.first, .count = 0, .at = at + done};
    }
    data_.count += space.count;
    auto step = [&]() noexcept -> Step<void> { return put_run(run, run.index, run.end()); };
    MIRAGE_CO_CHECK(co_await core_.attempt(step));
    done += space.count;
  }
  co_return co_await spill_if_needed();
}

/// Shortens an object.
Task<Writer::Outcome> Writer::cut_object(std::uint64_t object, std::uint64_t old_size, std::uint64_t size) {
  MIRAGE_CO_CHECK(co_await clear_runs(object, (size + page_size - 1) / page_size, ~std::uint64_t{0}));
  if (size % page_size == 0) co_return Outcome{};
  // What is behind the end reads as zeros when the value grows again.
  const KvChange cut{.kind = KvChange::Kind::resize, .key = {}, .offset = size};
  const Old old{.exists = true, .record = {.is_object = true, .object = object, .size = old_size}};
  co_return co_await write_run(cut, old, object, size / page_size, 1);
}

Step<void> Writer::put_run(const RunRecord& run, std::uint64_t from, std::uint64_t to) noexcept {
  std::array<std::byte, RunRecord::maximum_size> memory;
  const ObjectKey key{run.object, static_cast<std::uint32_t>(from)};
  return core_.tree().put(next_.root, key.view(), run.encode_part(from, to, memory));
}

/// Takes one run out of [from, to), or its part that is in there. False when no other is in there.
Step<bool> Writer::clear_one_run(std::uint64_t object, std::uint64_t from, std::uint64_t to, Clear clear) noexcept {
  MIRAGE_TRY(const auto found, find_run(core_.tree(), next_.root, object, static_cast<std::uint32_t>(from)));
  if (!found || found->index >= to) return false;
  RunRecord run = *found;
  std::array<std::byte, RunRecord::maximum_size> sums;  // the node may change
  std::ranges::copy(run.sums, sums.begin());
  run.sums = Bytes{sums}.first(run.sums.size());
  const std::uint64_t first = std::max<std::uint64_t>(run.index, from);
  const std::uint64_t end = std::min(run.end(), to);
  // Taken again from the start when a step misses; each of them is then the same again.
  const bool is_all = run.index == from && run.end() == to;
  if (end < run.end()) MIRAGE_CHECK(put_run(run, end, run.end()));
  if (first > run.index) {
    MIRAGE_CHECK(put_run(run, run.index, first));
  } else if (!is_all || clear == Clear::erase) {
    MIRAGE_CHECK(core_.tree().erase(next_.root, ObjectKey(object, run.index).view()));
  }
  const Run part{static_cast<std::uint32_t>(run.page + (first - run.index)), static_cast<std::uint32_t>(end - first)};
  if (const auto given = core_.tree().give_up(part); !given) return Failure{Fault{given.error()}};
  return !is_all;
}

Task<Writer::Outcome> Writer::clear_runs(std::uint64_t object, std::uint64_t from, std::uint64_t to, Clear clear) {
  if (from >> 32 != 0) co_return Outcome{};
  bool more = true;
  auto step = [&]() noexcept -> Step<void> {
    MIRAGE_TRY(more, clear_one_run(object, from, to, clear));
    return {};
  };
  while (more) MIRAGE_CO_CHECK(co_await core_.attempt(step));
  co_return Outcome{};
}

}  // namespace mirage::store::tree
