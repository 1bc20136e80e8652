// SPDX-License-Identifier: ISC
// Where values and their pages are: steps that never wait.
#include <algorithm>

#include <mirage/store/tree/reader.hpp>

namespace mirage::store::tree {

namespace {

/// What stands at `key`, if anything does.
Step<std::optional<NameRecord>> seek_name(Btree& tree, const Root& root, std::string_view key) noexcept {
  if (root.levels == 0) return std::nullopt;
  MIRAGE_TRY(const Path::Place leaf, tree.seek_leaf(root, key));
  if (leaf.index == leaf.node.count() || leaf.node.key(leaf.index) != key) return std::nullopt;
  const auto record = NameRecord::parse(leaf.node.value(leaf.index));
  if (!record) return Failure{Fault{KvError::corrupt}};
  return record;
}

/// Whether there is a directory of this name.
Step<bool> is_directory(Btree& tree, const Root& root, std::string_view key) noexcept {
  Path path;
  MIRAGE_CHECK(tree.seek(root, key, path));
  MIRAGE_TRY(const bool more, tree.settle(path));
  return more && is_below(path.key(), key);
}

}  // namespace

Step<NameRecord> find_name(Btree& tree, const Root& root, std::string_view key) noexcept {
  if (!valid_key(key)) return Failure{Fault{KvError::invalid_key}};
  const StoredKey stored{key};
  if (key.empty()) return Failure{Fault{KvError::not_a_value}};
  tree.begin_step();
  MIRAGE_TRY(const auto record, seek_name(tree, root, stored.view()));
  if (record) return *record;
  MIRAGE_TRY(const bool below, is_directory(tree, root, stored.view()));
  return Failure{Fault{below ? KvError::not_a_value : KvError::not_found}};
}

Step<KvKind> find_kind(Btree& tree, const Root& root, std::string_view key) noexcept {
  if (key.empty()) return KvKind::directory;
  const auto record = find_name(tree, root, key);
  if (record) return KvKind::value;
  const Fault& fault = record.error();
  if (fault.is_miss) return Failure{fault};
  if (fault.error == KvError::not_a_value) return KvKind::directory;
  if (fault.error == KvError::not_found) return KvKind::absent;
  return Failure{fault};
}

namespace {

/// The run in a cell, if it is one of the object's.
Step<std::optional<RunRecord>> run_at(Btree& tree, std::string_view key, Bytes value, std::uint64_t object) noexcept {
  if (!is_object_key(key)) return std::nullopt;
  const auto run = RunRecord::parse(key, value);
  if (!run || run->page < first_page || std::uint64_t{run->page} + run->count > tree.space().pages())
    return Failure{Fault{KvError::corrupt}};
  return run->object == object ? run : std::nullopt;
}

/// Where the run that covers the page may begin in another leaf, or there is none.
Step<std::optional<RunRecord>> find_run_around(Btree& tree, const Root& root, std::uint64_t object,
                                               std::uint32_t index) noexcept {
  const ObjectKey key{object, index};
  Path path;
  MIRAGE_CHECK(tree.seek(root, key.view(), path));
  if (!path.at_cell() || path.key() != key.view()) {
    Path before = path;
    MIRAGE_TRY(const bool exists, tree.previous(before));
    if (exists) {
      MIRAGE_TRY(const auto run, run_at(tree, before.key(), before.value(), object));
      if (run && run->end() > index) return run;
    }
  }
  MIRAGE_TRY(const bool more, tree.settle(path));
  if (!more) return std::nullopt;
  MIRAGE_TRY(const auto run, run_at(tree, path.key(), path.value(), object));
  if (run && run->end() <= index) return Failure{Fault{KvError::corrupt}};
  return run;
}

}  // namespace

Step<std::optional<RunRecord>> find_run(Btree& tree, const Root& root, std::uint64_t object,
                                        std::uint32_t index) noexcept {
  const ObjectKey key{object, index};
  tree.begin_step();
  if (root.levels == 0) return std::nullopt;
  // Nearly always the run begins there, or before it in the same leaf.
  MIRAGE_TRY(const Path::Place leaf, tree.seek_leaf(root, key.view()));
  const bool is_there = leaf.index < leaf.node.count() && leaf.node.key(leaf.index) == key.view();
  if (!is_there && leaf.index == 0) return find_run_around(tree, root, object, index);
  const std::size_t cell = is_there ? leaf.index : leaf.index - 1;
  MIRAGE_TRY(const auto run, run_at(tree, leaf.node.key(cell), leaf.node.value(cell), object));
  return run && run->end() > index ? Step<std::optional<RunRecord>>{run} : find_run_around(tree, root, object, index);
}

namespace {

/// The part of an object from `offset`: to the end of a run, or of what is not there, or of `length`.
Step<Part> find_object_part(Btree& tree, const Root& root, const NameRecord& record, std::uint64_t offset,
                            std::uint64_t length) noexcept {
  const auto index = static_cast<std::uint32_t>(offset / page_size);
  MIRAGE_TRY(const auto run, find_run(tree, root, record.object, index));
  const bool covered = run && run->index <= index;
  const std::uint64_t end = covered ? run->end() : run ? run->index : ~std::uint64_t{0};
  Part part;
  part.skip = static_cast<std::uint32_t>(offset % page_size);
  const std::uint64_t last = (offset + length - 1) / page_size;
  part.count =
      static_cast<std::uint32_t>(std::min({end, last + 1, std::uint64_t{index} + RunRecord::maximum_pages}) - index);
  part.length = static_cast<std::uint32_t>(std::min(length, std::uint64_t{part.count} * page_size - part.skip));
  if (!covered) return part;
  part.page = run->page + (index - run->index);
  for (std::uint32_t i = 0; i < part.count; ++i) part.sums[i] = run->sum(index - run->index + i);
  return part;
}

}  // namespace

Step<Part> find_part(Core& core, const Root& root, std::string_view key, std::uint64_t offset,
                     std::uint64_t length) noexcept {
  NameRecord record;
  if (const NameRecord* recent = core.recall(root, key)) {
    record = *recent;
  } else {
    MIRAGE_TRY(record, find_name(core.tree(), root, key));
    core.remember(root, key, record);
  }
  if (offset >= record.size && !(offset == 0 && record.size == 0)) return Failure{Fault{KvError::out_of_range}};
  const std::uint64_t count = std::min(length, record.size - offset);
  if (count == 0) return Part{};
  if (record.is_object) return find_object_part(core.tree(), root, record, offset, count);
  Part part;
  part.slice = core.shard().buffers().copy(record.content.subspan(offset, count));
  if (part.slice.empty()) return Failure{Fault{KvError::no_memory}};
  return part;
}

}  // namespace mirage::store::tree
