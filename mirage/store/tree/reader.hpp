// SPDX-License-Identifier: ISC
// Reading a committed state. What is in memory is answered at once, without a coroutine.
#pragma once

#include <mirage/async/quick.hpp>
#include <mirage/store/tree/core.hpp>

namespace mirage::store::tree {

/// Where bytes of a value are: in the leaf (copied to a slice), or in a run of pages, or nowhere (zeros).
struct Part {
  Slice slice;
  std::uint32_t page = 0;   ///< 0: in the slice, or zeros
  std::uint32_t count = 0;  ///< pages; 0: in the slice
  std::uint32_t skip = 0;   ///< bytes before the part in its first page
  std::uint32_t length = 0;
  std::array<std::uint64_t, RunRecord::maximum_pages> sums{};
};

/// The record of a value; its content is in the node.
[[nodiscard]] Step<NameRecord> find_name(Btree& tree, const Root& root, std::string_view key) noexcept;
[[nodiscard]] Step<KvKind> find_kind(Btree& tree, const Root& root, std::string_view key) noexcept;
/// The run that covers the object's page, or that follows it; nullopt when there is none.
[[nodiscard]] Step<std::optional<RunRecord>> find_run(Btree& tree, const Root& root, std::uint64_t object,
                                                      std::uint32_t index) noexcept;
/// `root`: of a state that is committed.
[[nodiscard]] Step<Part> find_part(Core& core, const Root& root, std::string_view key, std::uint64_t offset,
                                   std::uint64_t length) noexcept;

/// The operations of KvRo on what a ViewRef keeps.
class Reader {
 public:
  Reader(Core& core, View& view) noexcept : view_(core, view) {}
  [[nodiscard]] Shard& shard() noexcept { return view_.core().shard(); }

  Quick<Result<KvInfo, KvError>> info(std::string_view key);
  /// At most 64 KiB.
  Quick<Result<SliceList, KvError>> get(std::string_view key, std::uint64_t offset, std::uint64_t length);
  Quick<Result<KvKind, KvError>> exists(std::string_view key);
  Task<Result<KvPage, KvError>> list(std::string_view directory, std::string_view after, std::size_t maximum);
  Quick<Result<KvDigest, KvError>> digest(std::string_view key);

 private:
  ViewRef view_;
};

// The same on any state; `view` is kept until the operation ends.
Quick<Result<KvInfo, KvError>> info(Core& core, View& view, std::string_view key);
Quick<Result<SliceList, KvError>> get(Core& core, View& view, std::string_view key, std::uint64_t offset,
                                      std::uint64_t length);
Quick<Result<std::size_t, KvError>> read_into(Core& core, View& view, std::string_view key, std::uint64_t offset,
                                              MutableBytes in);
Quick<Result<KvKind, KvError>> exists(Core& core, View& view, std::string_view key);
Task<Result<KvPage, KvError>> list(Core& core, ViewRef view, std::string_view directory, std::string_view after,
                                   std::size_t maximum);
Quick<Result<KvDigest, KvError>> digest(Core& core, View& view, std::string_view key);

}  // namespace mirage::store::tree
