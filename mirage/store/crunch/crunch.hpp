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

 private:
  [[nodiscard]] Result<KvInfo, KvError> look_up(std::string_view key) const noexcept;
  [[nodiscard]] Result<SliceList, KvError> read(std::string_view key, std::uint64_t offset,
                                                std::uint64_t length) const noexcept;
  Shard& shard_;
  const CrunchTable& table_;
};

}  // namespace mirage::store
