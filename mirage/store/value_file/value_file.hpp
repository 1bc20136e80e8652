// SPDX-License-Identifier: ISC
// Files that are values of a key-value store: data and journal (module type JournaledFile).
//
// What is written waits in memory, at most 1 MiB of both files together, and becomes durable with the next sync() or
// batch(), or goes to the store when there is no more room. Nobody else may write the two values, NAME/data and
// NAME/journal; they are there from the first byte on.
//
// On a store with atomic batches (tree, where a file's bytes are extents of the disk that are never written in place)
// each is a FileBatch, and what waits is always one batch of the store. So a power cut leaves the files as they were
// after some write and before the next, both at the same one: FileTraits::ordered.
//
// On a store that changes values in place (fat) they are Files: bytes within a file are written where they lie and
// flushed by sync(); what a file gains is durable before its size says so.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include <mirage/async/quick.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/file.hpp>
#include <mirage/store/turn.hpp>
#include <mirage/store/value_file/changes.hpp>
#include <mirage/store/value_file/pending.hpp>

namespace mirage::store {

/// Stores that can hold files.
template <class K>
concept KvFiles = KvBatch<K> || KvInPlace<K>;

template <KvFiles K>
class ValueFiles {
 public:
  using Outcome = Result<void, FileError>;
  /// Of a file; the tree store's values have no more.
  static constexpr std::uint64_t maximum_size = [] {
    if constexpr (KvBatch<K>)
      return std::uint64_t{1} << 44;
    else
      return K::maximum_value;
  }();
  static constexpr std::size_t batch_limit = std::size_t{4} << 20;

  /// `name`: the key below which the two values are, at most 100 bytes.
  ValueFiles(Shard& shard, K& store, std::string_view name) noexcept
      : store_(store), turns_(shard), parts_{Part{*this, 0, name, "data"}, Part{*this, 1, name, "journal"}} {}
  ValueFiles(const ValueFiles&) = delete;
  ValueFiles& operator=(const ValueFiles&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return turns_.shard(); }

  /// Precondition: the store is started. Values that are not there are empty files.
  Task<Result<void, StartError>> start();

  class Part {
   public:
    Part(ValueFiles& files, std::uint32_t index, std::string_view name, std::string_view part) noexcept
        : files_(files), index_(index), key_{"{}/{}", name.substr(0, 101), part} {}
    [[nodiscard]] Shard& shard() const noexcept { return files_.shard(); }
    /// The store has refused to start on a device that cannot flush, or was told to take it.
    [[nodiscard]] FileTraits traits() const noexcept {
      if constexpr (!KvBatch<K>) return {.unit = page_size, .durability = Durability::flush};
      return {.unit = 1, .durability = Durability::flush, .batch_limit = batch_limit, .ordered = true};
    }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    Quick<Result<std::size_t, FileError>> read_at(std::uint64_t offset, MutableBytes in);
    Task<Outcome> write_at(std::uint64_t offset, Bytes out);
    Task<Outcome> truncate(std::uint64_t size);
    Task<Outcome> sync();
    Task<Outcome> batch(std::span<const FileChange> changes, std::uint64_t size)
      requires KvBatch<K>;

   private:
    friend class ValueFiles;
    static constexpr std::size_t page_size = value_file::page_size;
    [[nodiscard]] std::string_view key() const noexcept { return key_.view(); }
    /// The same with all waiting that there may be.
    Task<Result<std::size_t, FileError>> read_slowly(std::uint64_t offset, MutableBytes in);
    Task<Outcome> read_stored(std::uint64_t offset, MutableBytes in);
    /// The store's answer about a range; `done`: bytes of it that are there.
    Task<Outcome> read_some(std::uint64_t offset, MutableBytes in, std::size_t& done);
    Task<Result<std::size_t, FileError>> finish_page(Turn turn, Quick<Result<std::size_t, KvError>> page,
                                                     std::uint64_t offset, MutableBytes in);
    Task<Outcome> write_page(std::uint64_t index, std::size_t inside, Bytes out);
    /// How many of pages() from `first` on follow each other in one file.
    [[nodiscard]] std::size_t run_at(std::size_t first) const noexcept;
    [[nodiscard]] Bytes run_bytes(std::size_t first, std::size_t count) const noexcept;
    /// In a store that changes values in place.
    Task<Outcome> write_back();
    [[nodiscard]] bool appends() const noexcept;
    Task<Outcome> write_run(std::uint64_t offset, Bytes bytes);
    Task<Outcome> resize(std::uint64_t size);
    void collect(value_file::Changes& list) const noexcept;
    void collect(value_file::Changes& list, std::span<const FileChange> changes, std::uint64_t size) const noexcept;

    ValueFiles& files_;
    std::uint32_t index_;
    Text<128> key_;
    std::uint64_t size_ = 0;
    std::uint64_t stored_ = 0;  ///< the value's size in the store
    std::uint64_t kept_ = 0;    ///< so much of it was never cut off since the last commit
  };

  [[nodiscard]] Part& data() noexcept { return parts_[0]; }
  [[nodiscard]] Part& journal() noexcept { return parts_[1]; }

  struct Counters {
    std::uint64_t reads = 0;    ///< of the store
    std::uint64_t commits = 0;  ///< batches of the store
    std::uint64_t early = 0;    ///< of those: because there was no more room; staged, if the store can
    std::uint64_t failures = 0;
  };
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("files", counters_); }

 private:
  Task<Result<Turn, FileError>> turn() {
    auto taken = co_await turns_.take();
    if (!taken) co_return Failure{taken.error() == KvError::no_memory ? FileError::no_memory : FileError::cancelled};
    co_return *std::move(taken);
  }
  [[nodiscard]] FileError failed(KvError error) noexcept;
  /// All that is pending to the store. Without `is_durable` it may be durable with a later one only.
  Task<Outcome> commit(bool is_durable);
  /// The same, and then a batch of `part` (nullptr: none), as one batch of the store.
  Task<Outcome> commit_batch(Part* part, std::span<const FileChange> changes, std::uint64_t size, bool is_durable);
  Task<Outcome> write_back(bool is_durable);
  Task<Outcome> make_room(std::size_t pages);

  K& store_;
  Turns turns_;
  bool broken_ = false;  ///< the store's device has failed
  bool staged_ = false;  ///< the store has what is not durable yet
  value_file::Pending pending_;
  std::array<Part, 2> parts_;
  Counters counters_;
};

template <KvFiles K>
FileError ValueFiles<K>::failed(KvError error) noexcept {
  ++counters_.failures;
  switch (error) {
    case KvError::no_space:
      return FileError::no_space;
    case KvError::read_only:
      return FileError::read_only;
    case KvError::corrupt:
      return FileError::corrupt;
    case KvError::cancelled:
      return FileError::cancelled;
    case KvError::no_memory:
      return FileError::no_memory;
    default:
      broken_ = true;
      return FileError::io;
  }
}

template <KvFiles K>
Task<Result<void, StartError>> ValueFiles<K>::start() {
  for (Part& part : parts_) {
    if (part.key_.view().size() > 108 || !valid_key(part.key())) {
      co_return Failure{StartError{"no name for files: {}", part.key()}};
    }
    const auto info = co_await store_.info(part.key());
    if (!info && info.error() != KvError::not_found) {
      co_return Failure{StartError{"the file {}: {}", part.key(), to_string(info.error())}};
    }
    part.size_ = part.stored_ = part.kept_ = info ? info->size : 0;
  }
  co_return Result<void, StartError>{};
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::commit(bool is_durable) {
  if constexpr (KvBatch<K>) {
    return commit_batch(nullptr, {}, 0, is_durable);
  } else {
    return write_back(is_durable);
  }
}

/// In no order. What could not be written still waits, and the parts know how far they came.
template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::write_back(bool is_durable) {
  if (broken_) co_return Failure{FileError::io};
  if (!pending_.empty()) pending_.arrange();
  const auto is_same = [](const Part& part) noexcept {
    return part.kept_ == part.stored_ && part.size_ == part.stored_;
  };
  if (!pending_.empty() || !std::ranges::all_of(parts_, is_same)) {
    ++counters_.commits;
    for (Part& part : parts_) MIRAGE_CO_CHECK(co_await part.write_back());
    pending_.clear();
  }
  if (!is_durable || !staged_) co_return Outcome{};
  const auto done = co_await store_.sync();
  if (!done) co_return Failure{failed(done.error())};
  staged_ = false;
  co_return Outcome{};
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::commit_batch(Part* part, std::span<const FileChange> changes,
                                                          std::uint64_t size, bool is_durable) {
  if (broken_) co_return Failure{FileError::io};
  value_file::Changes list;
  // Two sizes for each file, two for the batch.
  if (!list.reserve(pending_.pages().size() + changes.size() + 6)) co_return Failure{FileError::no_memory};
  if (!pending_.empty()) pending_.arrange();
  for (const Part& each : parts_) each.collect(list);
  if (part != nullptr) part->collect(list, changes, size);
  if (list.view().empty() && !staged_) co_return Outcome{};
  ++counters_.commits;
  Result<void, KvError> done;
  if constexpr (KvStage<K>) {
    if (!is_durable) done = co_await store_.stage(list.view());
  }
  const bool stages = KvStage<K> && !is_durable;
  if (!stages) done = co_await store_.batch(list.view());
  if (!done) co_return Failure{failed(done.error())};
  staged_ = stages;
  pending_.clear();
  if (part != nullptr) part->size_ = size;
  for (Part& each : parts_) each.stored_ = each.kept_ = each.size_;
  co_return Outcome{};
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::make_room(std::size_t pages) {
  if (broken_) co_return Failure{FileError::io};
  if (!pending_.allocate()) co_return Failure{FileError::no_memory};
  if (pending_.room() >= pages) co_return Outcome{};
  ++counters_.early;
  co_return co_await commit(false);
}

template <KvFiles K>
std::size_t ValueFiles<K>::Part::run_at(std::size_t first) const noexcept {
  const auto pages = files_.pending_.pages();
  std::size_t end = first + 1;
  while (end < pages.size() && pages[end].file == pages[first].file && pages[end].index == pages[end - 1].index + 1)
    ++end;
  return end - first;
}

/// Precondition: they lie together, by arrange().
template <KvFiles K>
Bytes ValueFiles<K>::Part::run_bytes(std::size_t first, std::size_t count) const noexcept {
  const auto& page = files_.pending_.pages()[first];
  const std::uint64_t length = std::min<std::uint64_t>(count * page_size, size_ - page.index * page_size);
  return {files_.pending_.bytes(page).data(), static_cast<std::size_t>(length)};
}

/// What is pending: first the size it was cut to, then its size, then its pages.
template <KvFiles K>
void ValueFiles<K>::Part::collect(value_file::Changes& list) const noexcept {
  if (kept_ < stored_) list.resize(key(), kept_);
  if (size_ > kept_) list.resize(key(), size_);
  const auto pages = files_.pending_.pages();
  for (std::size_t i = 0; i < pages.size();) {
    const std::size_t count = run_at(i);
    if (pages[i].file == index_) list.write(key(), pages[i].index * page_size, run_bytes(i, count));
    i += count;
  }
}

/// Whether all that the file gains is in the last run, which begins within the value.
template <KvFiles K>
bool ValueFiles<K>::Part::appends() const noexcept {
  const auto pages = files_.pending_.pages();
  bool found = false;
  for (std::size_t i = 0; i < pages.size();) {
    const std::size_t count = run_at(i);
    const std::uint64_t offset = pages[i].index * page_size;
    if (pages[i].file == index_) found = offset <= stored_ && offset + run_bytes(i, count).size() == size_;
    i += count;
  }
  return found;
}

/// The sizes that the value has in between are such that the file had, too.
template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::write_back() {
  if (kept_ < stored_) MIRAGE_CO_CHECK(co_await resize(kept_));
  if (size_ > stored_ && !appends()) MIRAGE_CO_CHECK(co_await resize(size_));
  const auto pages = files_.pending_.pages();
  for (std::size_t i = 0; i < pages.size();) {
    const std::size_t count = run_at(i);
    if (pages[i].file == index_) MIRAGE_CO_CHECK(co_await write_run(pages[i].index * page_size, run_bytes(i, count)));
    i += count;
  }
  co_return Outcome{};
}

/// What is within the value is overwritten, what it gains is appended: there before the value's size says so.
template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::write_run(std::uint64_t offset, Bytes bytes) {
  const auto within = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), stored_ - offset));
  if (within != 0) {
    files_.staged_ = true;
    const auto done = co_await files_.store_.overwrite(key(), offset, bytes.first(within));
    if (!done) co_return Failure{files_.failed(done.error())};
  }
  if (within == bytes.size()) co_return Outcome{};
  const auto done = co_await files_.store_.set_partial(key(), stored_, bytes.subspan(within));
  if (!done) co_return Failure{files_.failed(done.error())};
  stored_ = kept_ = offset + bytes.size();
  co_return Outcome{};
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::resize(std::uint64_t size) {
  const auto done = co_await files_.store_.resize(key(), size);
  if (!done) co_return Failure{files_.failed(done.error())};
  stored_ = kept_ = size;
  co_return Outcome{};
}

template <KvFiles K>
void ValueFiles<K>::Part::collect(value_file::Changes& list, std::span<const FileChange> changes,
                                  std::uint64_t size) const noexcept {
  std::uint64_t end = std::max(size_, size);
  for (const FileChange& each : changes) end = std::max(end, each.offset + each.bytes.size());
  if (end > size_) list.resize(key(), end);
  for (const FileChange& each : changes) list.write(key(), each.offset, each.bytes);
  if (size < end) list.resize(key(), size);
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::read_some(std::uint64_t offset, MutableBytes in, std::size_t& done) {
  ++files_.counters_.reads;
  if constexpr (KvReadInto<K>) {
    const auto got = co_await files_.store_.read_into(key(), offset, in);
    if (!got) co_return Failure{files_.failed(got.error())};
    if (*got == 0 || *got > in.size()) co_return Failure{FileError::corrupt};
    done += *got;
  } else {
    const auto got = co_await files_.store_.get(key(), offset, in.size());
    if (!got) co_return Failure{files_.failed(got.error())};
    if (got->byte_count() == 0 || got->byte_count() > in.size()) co_return Failure{FileError::corrupt};
    for (const Slice& slice : *got) {
      std::ranges::copy(slice.bytes(), in.begin());
      in = in.subspan(slice.size());
      done += slice.size();
    }
  }
  co_return Outcome{};
}

/// From the store; zeros for what was cut off or never there.
template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::read_stored(std::uint64_t offset, MutableBytes in) {
  const std::size_t there =
      offset < kept_ ? static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), kept_ - offset)) : 0;
  std::ranges::fill(in.subspan(there), std::byte{});
  for (std::size_t done = 0; done < there;) {
    MIRAGE_CO_CHECK(co_await read_some(offset + done, in.subspan(done, there - done), done));
  }
  co_return Outcome{};
}

/// What databases do most, a page that is in the store or waits to be, is answered without a frame if the store can.
template <KvFiles K>
Quick<Result<std::size_t, FileError>> ValueFiles<K>::Part::read_at(std::uint64_t offset, MutableBytes in) {
  using Read = Result<std::size_t, FileError>;
  const bool is_page =
      offset % page_size == 0 && in.size() == page_size && offset < size_ && size_ - offset >= page_size;
  if (!is_page || !files_.turns_.is_free()) return read_slowly(offset, in);
  if (const Bytes page = files_.pending_.find(index_, offset / page_size); !page.empty()) {
    std::memcpy(in.data(), page.data(), page_size);
    return Read{page_size};
  }
  if constexpr (KvReadInto<K>) {
    if (offset + page_size <= kept_) {
      ++files_.counters_.reads;
      Quick<Result<std::size_t, KvError>> page = files_.store_.read_into(key(), offset, in);
      if (!page.is_ready()) return finish_page(files_.turns_.take_free(), std::move(page), offset, in);
      const auto read = page.take();
      if (!read) return Read{Failure{files_.failed(read.error())}};
      if (*read == page_size) return Read{page_size};
    }
  }
  return read_slowly(offset, in);
}

template <KvFiles K>
Task<Result<std::size_t, FileError>> ValueFiles<K>::Part::finish_page(Turn /*turn*/,
                                                                      Quick<Result<std::size_t, KvError>> page,
                                                                      std::uint64_t offset, MutableBytes in) {
  const auto read = co_await page;
  if (!read) co_return Failure{files_.failed(read.error())};
  MIRAGE_CO_CHECK(co_await read_stored(offset + *read, in.subspan(*read)));
  co_return page_size;
}

template <KvFiles K>
Task<Result<std::size_t, FileError>> ValueFiles<K>::Part::read_slowly(std::uint64_t offset, MutableBytes in) {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await files_.turn());
  if (offset >= size_) co_return std::size_t{0};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), size_ - offset));
  for (std::size_t done = 0; done < size;) {
    const std::uint64_t at = offset + done;
    const MutableBytes page = files_.pending_.find(index_, at / page_size);
    if (!page.empty()) {
      const std::size_t count = std::min(size - done, page_size - at % page_size);
      std::memcpy(in.data() + done, page.data() + at % page_size, count);
      done += count;
      continue;
    }
    const auto next = files_.pending_.next(index_, at / page_size);
    const std::uint64_t end = next ? *next * page_size : ~std::uint64_t{0};
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size - done, end - at));
    MIRAGE_CO_CHECK(co_await read_stored(at, in.subspan(done, count)));
    done += count;
  }
  co_return size;
}

/// Within one page, for which there is room.
template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::write_page(std::uint64_t index, std::size_t inside, Bytes out) {
  MutableBytes page = files_.pending_.find(index_, index);
  if (page.empty()) {
    page = files_.pending_.add(index_, index);
    if (out.size() < page_size) {
      const auto loaded = co_await read_stored(index * page_size, page);
      if (!loaded) {
        files_.pending_.remove(index_, index);
        co_return loaded;
      }
    }
  }
  std::memcpy(page.data() + inside, out.data(), out.size());
  co_return Outcome{};
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::write_at(std::uint64_t offset, Bytes out) {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await files_.turn());
  if (offset > maximum_size || out.size() > maximum_size - offset) co_return Failure{FileError::no_space};
  for (std::size_t done = 0; done < out.size();) {
    const std::uint64_t at = offset + done;
    // Pieces of this size are there as a whole or not at all.
    const std::size_t piece =
        std::min<std::size_t>(out.size() - done, (value_file::Pending::capacity / 2) * page_size - at % page_size);
    MIRAGE_CO_CHECK(co_await files_.make_room((at % page_size + piece + page_size - 1) / page_size));
    for (std::size_t written = 0; written < piece;) {
      const std::size_t inside = (at + written) % page_size;
      const std::size_t count = std::min(piece - written, page_size - inside);
      MIRAGE_CO_CHECK(co_await write_page((at + written) / page_size, inside, out.subspan(done + written, count)));
      written += count;
      size_ = std::max(size_, at + written);
    }
    done += piece;
  }
  co_return Outcome{};
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::truncate(std::uint64_t size) {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await files_.turn());
  if (size > maximum_size) co_return Failure{FileError::no_space};
  if (files_.broken_) co_return Failure{FileError::io};
  files_.pending_.cut(index_, (size + page_size - 1) / page_size);
  // Bytes of a page behind the end are zero.
  const MutableBytes last = files_.pending_.find(index_, size / page_size);
  if (!last.empty() && size < size_) std::ranges::fill(last.subspan(size % page_size), std::byte{});
  size_ = size;
  kept_ = std::min(kept_, size);
  co_return Outcome{};
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::sync() {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await files_.turn());
  co_return co_await files_.commit(true);
}

template <KvFiles K>
Task<Result<void, FileError>> ValueFiles<K>::Part::batch(std::span<const FileChange> changes, std::uint64_t size)
  requires KvBatch<K>
{
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await files_.turn());
  std::size_t bytes = 0;
  for (const FileChange& each : changes) {
    if (each.bytes.size() > batch_limit - bytes) co_return Failure{FileError::unsupported};
    bytes += each.bytes.size();
    if (each.offset > maximum_size || each.bytes.size() > maximum_size - each.offset) {
      co_return Failure{FileError::no_space};
    }
  }
  if (size > maximum_size) co_return Failure{FileError::no_space};
  co_return co_await files_.commit_batch(this, changes, size, true);
}

}  // namespace mirage::store
