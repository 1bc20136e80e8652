// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/store/tree/reader.hpp>

namespace mirage::store::tree {

namespace {

/// The error of a step that is not a miss.
template <class T>
std::optional<Result<T, KvError>> finished(Step<T>& step) noexcept {
  if (step) return Result<T, KvError>{*std::move(step)};
  if (!step.error().is_miss) return Result<T, KvError>{Failure{step.error().error}};
  return std::nullopt;
}

/// Takes a step that missed until it is done.
template <class T, class F>
Task<Result<T, KvError>> patient(Core& core, ViewRef /*keep*/, F step) {
  std::optional<T> value;
  auto once = [&]() noexcept -> Step<void> {
    auto done = step();
    if (!done) return Failure{done.error()};
    value.emplace(*std::move(done));
    return {};
  };
  MIRAGE_CO_CHECK(co_await core.attempt(once));
  co_return *std::move(value);
}

template <class T, class F>
Quick<Result<T, KvError>> quick(Core& core, View& view, F step) {
  auto done = step();
  if (auto result = finished<T>(done)) return *std::move(result);
  return patient<T>(core, ViewRef{core, view}, step);
}

Result<void, KvError> check_part(Core& core, const Part& part, Bytes bytes) noexcept {
  for (std::uint32_t i = 0; i < part.count; ++i) {
    if (!core.matches(part.page + i, bytes.subspan(i * page_size, page_size), part.sums[i]))
      return Failure{KvError::corrupt};
  }
  return {};
}

/// Reads the pages of a part and checks them; zeros for those that were never written.
Task<Result<SliceList, KvError>> read_part(Core& core, ViewRef /*keep*/, Part part) {
  const std::size_t size = std::size_t{part.count} * page_size;
  MutableSlice memory = core.shard().buffers().allocate_sparing(size, 0);
  if (!memory) co_return Failure{KvError::no_memory};
  const MutableBytes bytes = memory.grow_back(static_cast<std::uint32_t>(size));
  if (part.page == 0) {
    std::memset(bytes.data(), 0, size);
  } else {
    MIRAGE_CO_CHECK(co_await core.read_pages(part.page, bytes));
    MIRAGE_CO_CHECK(check_part(core, part, bytes));
  }
  co_return SliceList{std::move(memory).freeze().sub(part.skip, part.length)};
}

Task<Result<SliceList, KvError>> get_slowly(Core& core, ViewRef view, std::string_view key, std::uint64_t offset,
                                            std::uint64_t length) {
  Part part;
  auto step = [&]() noexcept -> Step<void> {
    MIRAGE_TRY(part, find_part(core, view.state().root, key, offset, length));
    return {};
  };
  MIRAGE_CO_CHECK(co_await core.attempt(step));
  if (part.count == 0) co_return SliceList{std::move(part.slice)};
  co_return co_await read_part(core, std::move(view), part);
}

}  // namespace

Quick<Result<KvInfo, KvError>> info(Core& core, View& view, std::string_view key) {
  return quick<KvInfo>(core, view, [&core, &view, key]() noexcept -> Step<KvInfo> {
    MIRAGE_TRY(const NameRecord record, find_name(core.tree(), view.state.root, key));
    return KvInfo{.size = record.size};
  });
}

Quick<Result<KvDigest, KvError>> digest(Core& core, View& view, std::string_view key) {
  return quick<KvDigest>(core, view, [&core, &view, key]() noexcept -> Step<KvDigest> {
    MIRAGE_TRY(const NameRecord record, find_name(core.tree(), view.state.root, key));
    return KvDigest{KvDigest::Basis::version, Text<24>{"{}", record.version}.view()};
  });
}

Quick<Result<KvKind, KvError>> exists(Core& core, View& view, std::string_view key) {
  return quick<KvKind>(core, view, [&core, &view, key]() noexcept -> Step<KvKind> {
    return find_kind(core.tree(), view.state.root, key);
  });
}

Quick<Result<SliceList, KvError>> get(Core& core, View& view, std::string_view key, std::uint64_t offset,
                                      std::uint64_t length) {
  auto part = find_part(core, view.state.root, key, offset, length);
  if (!part && part.error().is_miss) return get_slowly(core, ViewRef{core, view}, key, offset, length);
  if (!part) return Result<SliceList, KvError>{Failure{part.error().error}};
  if (part->count == 0) return Result<SliceList, KvError>{SliceList{std::move(part->slice)}};
  return read_part(core, ViewRef{core, view}, *std::move(part));
}

namespace {

Task<Result<std::size_t, KvError>> read_into_slowly(Core& core, ViewRef view, std::string_view key,
                                                    std::uint64_t offset, MutableBytes in) {
  MIRAGE_CO_TRY(const SliceList found, co_await get_slowly(core, std::move(view), key, offset, in.size()));
  std::size_t size = 0;
  for (const Slice& slice : found) {
    std::ranges::copy(slice.bytes(), in.subspan(size).begin());
    size += slice.size();
  }
  co_return size;
}

using PageAt = Core::PageAt;

Result<std::size_t, KvError> checked(Core& core, const Result<void, KvError>& read, const PageAt& at,
                                     Bytes in) noexcept {
  MIRAGE_CHECK(read);
  if (!core.matches(at.page, in, at.sum)) return Failure{KvError::corrupt};
  core.keep(at, in);
  return in.size();
}

Task<Result<std::size_t, KvError>> check_later(Core& core, ViewRef /*keep*/, Quick<Result<void, KvError>> page,
                                               PageAt at, MutableBytes in) {
  const auto read = co_await page;
  co_return checked(core, read, at, in);
}

/// From memory or from the disk; then it stays in memory, too.
Quick<Result<std::size_t, KvError>> read_page(Core& core, View& view, const PageAt& at, MutableBytes in) {
  if (const Bytes page = core.kept(at); !page.empty()) {
    std::memcpy(in.data(), page.data(), page_size);
    return Result<std::size_t, KvError>{page_size};
  }
  auto page = core.read_pages(at.page, in);
  if (page.is_ready()) return checked(core, page.take(), at, in);
  return check_later(core, ViewRef{core, view}, std::move(page), at, in);
}

Result<std::size_t, KvError> checked(Core& core, const Result<void, KvError>& read, const Part& part,
                                     Bytes in) noexcept {
  MIRAGE_CHECK(read);
  MIRAGE_CHECK(check_part(core, part, in));
  return in.size();
}

Task<Result<std::size_t, KvError>> check_later(Core& core, ViewRef /*keep*/, Quick<Result<void, KvError>> pages,
                                               Part part, MutableBytes in) {
  const auto read = co_await pages;
  co_return checked(core, read, part, in);
}

/// A whole page of the large value that was found last, if it is that and can be found at once.
std::optional<PageAt> recall_page(Core& core, const Root& root, std::string_view key, std::uint64_t offset,
                                  std::size_t length) noexcept {
  const NameRecord* record = core.recall(root, key);
  if (record == nullptr || length != page_size || offset % page_size != 0) return std::nullopt;
  if (offset >= record->size || record->size - offset < page_size) return std::nullopt;
  const auto index = static_cast<std::uint32_t>(offset / page_size);
  if (const PageAt* known = core.known_place(index)) {
    core.tree().begin_step();
    return *known;
  }
  const auto run = find_run(core.tree(), root, record->object, index);
  if (!run || !*run || (*run)->index > index) return std::nullopt;
  const std::uint32_t at = index - (*run)->index;
  const PageAt found{(*run)->page + at, (*run)->sum(at)};
  core.note_place(index, found);
  return found;
}

}  // namespace

/// Whole pages of a run go to where they are wanted, single ones stay in memory, too; everything else by way of a
/// buffer.
Quick<Result<std::size_t, KvError>> read_into(Core& core, View& view, std::string_view key, std::uint64_t offset,
                                              MutableBytes in) {
  if (const auto page = recall_page(core, view.state.root, key, offset, in.size()))
    return read_page(core, view, *page, in);
  const auto part = find_part(core, view.state.root, key, offset, in.size());
  if (!part && !part.error().is_miss) return Result<std::size_t, KvError>{Failure{part.error().error}};
  const std::size_t size = part ? part->count * page_size : 0;
  if (!part || part->page == 0 || part->length != size)
    return read_into_slowly(core, ViewRef{core, view}, key, offset, in);
  in = in.first(size);
  if (part->count == 1) return read_page(core, view, {part->page, part->sums[0]}, in);
  auto pages = core.read_pages(part->page, in);
  if (pages.is_ready()) return checked(core, pages.take(), *part, in);
  return check_later(core, ViewRef{core, view}, std::move(pages), *part, in);
}

namespace {

/// One entry of a listing, from `from` on; `from` is moved behind it. False at the directory's end, or (then `from` is
/// as it was) when the page is full.
Step<bool> list_entry(Btree& tree, const Root& root, std::string_view directory, StoredKey& from, std::size_t maximum,
                      KvPage& page) noexcept {
  tree.begin_step();
  Path path;
  MIRAGE_CHECK(tree.seek(root, from.view(), path));
  MIRAGE_TRY(const bool more, tree.settle(path));
  // Not in a sound tree; nobody shall list one that is not for ever.
  if (more && path.key() < from.view()) return Failure{Fault{KvError::corrupt}};
  if (!more || !is_below(path.key(), directory)) return false;
  const std::size_t prefix = directory.empty() ? 0 : directory.size() + 1;
  const std::string_view rest = path.key().substr(prefix);
  KvEntry entry{.name = rest.substr(0, rest.find('\0')), .kind = KvKind::directory, .size = 0};
  if (entry.name.size() == rest.size()) {
    const auto record = NameRecord::parse(path.value());
    if (!record) return Failure{Fault{KvError::corrupt}};
    entry.kind = KvKind::value;
    entry.size = record->size;
  }
  if (page.size() == maximum || !page.push(entry)) {
    page.set_more();
    return false;
  }
  StoredKey next;
  next.append(path.key().substr(0, prefix + entry.name.size()));
  next.append('\x01');  // behind all that is below it
  from = next;
  return true;
}

}  // namespace

Task<Result<KvPage, KvError>> list(Core& core, ViewRef view, std::string_view directory, std::string_view after,
                                   std::size_t maximum) {
  if (!valid_key(directory) || after.size() > maximum_key) co_return Failure{KvError::invalid_key};
  MIRAGE_CO_TRY(const KvKind kind, co_await patient<KvKind>(core, ViewRef{}, [&]() noexcept {
                  return find_kind(core.tree(), view.state().root, directory);
                }));
  if (kind == KvKind::absent) co_return Failure{KvError::not_found};
  if (kind == KvKind::value) co_return Failure{KvError::not_a_directory};
  KvPage page{core.shard().buffers()};
  if (!page) co_return Failure{KvError::no_memory};
  const StoredKey stored{directory};
  StoredKey from = stored;
  if (!directory.empty()) from.append('\0');
  from.append(after);
  from.append('\x01');  // no part of a key is empty: before the first, or behind `after` and all below it
  bool more = true;
  auto entry = [&]() noexcept -> Step<void> {
    MIRAGE_TRY(more, list_entry(core.tree(), view.state().root, stored.view(), from, maximum, page));
    return {};
  };
  while (more) {
    // What is in memory needs no task. Each entry has tries of its own: a page may need more nodes than there are.
    if (!entry()) MIRAGE_CO_CHECK(co_await core.attempt(entry));
  }
  co_return std::move(page);
}

Quick<Result<KvInfo, KvError>> Reader::info(std::string_view key) {
  return tree::info(view_.core(), view_.view(), key);
}
Quick<Result<SliceList, KvError>> Reader::get(std::string_view key, std::uint64_t offset, std::uint64_t length) {
  return tree::get(view_.core(), view_.view(), key, offset, length);
}
Quick<Result<KvKind, KvError>> Reader::exists(std::string_view key) {
  return tree::exists(view_.core(), view_.view(), key);
}
Task<Result<KvPage, KvError>> Reader::list(std::string_view directory, std::string_view after, std::size_t maximum) {
  return tree::list(view_.core(), ViewRef{view_.core(), view_.view()}, directory, after, maximum);
}
Quick<Result<KvDigest, KvError>> Reader::digest(std::string_view key) {
  return tree::digest(view_.core(), view_.view(), key);
}

}  // namespace mirage::store::tree
