// SPDX-License-Identifier: ISC
// KvRo over files that are linked into the image: values are static slices, nothing is copied and nothing can fail.
#pragma once

#include <mirage/module/kv.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/store/crunch/table.hpp>

namespace mirage::store {

class Crunch {
 public:
  Crunch(Shard& shard, const CrunchTable& table) noexcept : shard_(shard), table_(table) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  Ready<Result<KvInfo, KvError>> info(std::string_view key) noexcept { return Ready{look_up(key)}; }
  Ready<Result<SliceList, KvError>> get(std::string_view key, std::uint64_t offset, std::uint64_t length) noexcept {
    return Ready{read(key, offset, length)};
  }
  Ready<Result<KvKind, KvError>> exists(std::string_view key) noexcept { return Ready{kind_of(key)}; }
  Ready<Result<KvPage, KvError>> list(std::string_view directory, std::string_view after,
                                      std::size_t maximum) noexcept {
    return Ready{list_page(directory, after, maximum)};
  }
  Ready<Result<KvDigest, KvError>> digest(std::string_view key) noexcept {
    return Ready{look_up(key).transform(
        [](const KvInfo& info) noexcept { return KvDigest{KvDigest::Basis::content, info.etag.substr(0, 64)}; })};
  }

 private:
  [[nodiscard]] Result<KvInfo, KvError> look_up(std::string_view key) const noexcept;
  [[nodiscard]] Result<SliceList, KvError> read(std::string_view key, std::uint64_t offset,
                                                std::uint64_t length) const noexcept;
  [[nodiscard]] Result<KvKind, KvError> kind_of(std::string_view key) const noexcept;
  [[nodiscard]] Result<KvPage, KvError> list_page(std::string_view directory, std::string_view after,
                                                  std::size_t maximum) const noexcept;
  Shard& shard_;
  const CrunchTable& table_;
};

}  // namespace mirage::store
