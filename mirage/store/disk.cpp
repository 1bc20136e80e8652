// SPDX-License-Identifier: ISC
#include <mirage/store/disk.hpp>

namespace mirage::store {

Result<void, StartError> check_writable(const Disk& disk, bool allow_volatile, std::string_view store,
                                        std::string_view key) noexcept {
  if (disk.geometry().read_only) {
    return Failure{
        StartError{"{}: the disk is read-only: attach it writable, or use the store's read-only module", store}};
  }
  if (disk.geometry().durability == Durability::none && !allow_volatile) {
    return Failure{
        StartError{"{}: the disk cannot flush: what is written may be lost; say --{} to accept that", store, key}};
  }
  return {};
}

Task<Result<void, KvError>> flush(Disk& disk) {
  if (disk.geometry().durability == Durability::none) co_return Result<void, KvError>{};
  const auto flushed = co_await disk.flush();
  if (!flushed) co_return Failure{as_kv_error(flushed.error())};
  co_return Result<void, KvError>{};
}

Task<Result<SliceList, KvError>> read_range(Disk& disk, std::uint64_t offset, std::uint64_t length) {
  const std::uint32_t unit = disk.geometry().sector_size;
  const std::uint64_t first = offset / unit;
  const std::uint64_t inside = offset % unit;
  const std::uint64_t most = largest_read - inside;
  const std::uint64_t count = std::min(length, most);
  const auto covering = static_cast<std::uint32_t>((inside + count + unit - 1) / unit * unit);
  MutableSlice buffer = disk.shard().buffers().allocate_sparing(covering, 0);
  if (!buffer) co_return Failure{KvError::no_memory};
  const auto done = co_await disk.read(first, buffer.grow_back(covering));
  if (!done) co_return Failure{as_kv_error(done.error())};
  buffer.remove_prefix(static_cast<std::uint32_t>(inside));
  buffer.truncate(static_cast<std::uint32_t>(count));
  co_return SliceList{std::move(buffer).freeze()};
}

KvDigest ContentHash::digest() const noexcept {
  Text<32> text;
  text.writer().append_unsigned(static_cast<std::uint64_t>(value_ >> 64), 16, 16);
  text.writer().append_unsigned(static_cast<std::uint64_t>(value_), 16, 16);
  return {KvDigest::Basis::content, text.view()};
}

}  // namespace mirage::store
