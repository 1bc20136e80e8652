// SPDX-License-Identifier: ISC
// The list of changes that becomes one batch of a store.
#pragma once

#include <memory>
#include <new>
#include <span>
#include <string_view>

#include <mirage/module/kv.hpp>

namespace mirage::store::value_file {

class Changes {
 public:
  /// Room for `count` changes. False: no memory.
  [[nodiscard]] bool reserve(std::size_t count) noexcept {
    items_.reset(new (std::nothrow) KvChange[count]);
    return items_ != nullptr;
  }
  // Precondition of both: there is room.
  void resize(std::string_view key, std::uint64_t size) noexcept {
    items_[count_++] = {.kind = KvChange::Kind::resize, .key = key, .offset = size};
  }
  void write(std::string_view key, std::uint64_t offset, Bytes bytes) noexcept {
    items_[count_++] = {.kind = KvChange::Kind::set_partial, .key = key, .value = bytes, .offset = offset};
  }
  [[nodiscard]] std::span<const KvChange> view() const noexcept { return {items_.get(), count_}; }

 private:
  std::unique_ptr<KvChange[]> items_;
  std::size_t count_ = 0;
};

}  // namespace mirage::store::value_file
