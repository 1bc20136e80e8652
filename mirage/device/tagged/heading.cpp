// SPDX-License-Identifier: ISC
#include <memory>
#include <new>

#include <mirage/device/tagged/heading.hpp>
#include <mirage/module/block_blank.hpp>
#include <mirage/wire/crc.hpp>

namespace mirage::device::tagged {

namespace {

/// In the first block while the disk is made: what a cut leaves then is no longer blank, nor is it of others.
constexpr std::string_view begun_magic = "mirageB\x1a";

struct Device {
  explicit Device(const BlockPort& disk) noexcept : geometry(disk.geometry()), blocks(geometry.bytes() / block_size) {}
  [[nodiscard]] std::uint64_t last() const noexcept { return (blocks - 1) * (block_size / geometry.sector_size); }
  const BlockGeometry& geometry;
  std::uint64_t blocks;
};

/// What is empty could not be read.
Result<std::uint64_t, StartError> accept(Shard& shard, std::uint64_t blocks, Heading& heading, Bytes first,
                                         Bytes last) {
  Found begin = first.empty() ? Found{.finding = Finding::damaged} : heading.decode(first);
  if (!first.empty() && is_begun(first)) begin = {.finding = Finding::blank};
  const Found end = last.empty() ? Found{.finding = Finding::damaged} : heading.decode(last);
  const auto either = [&](Finding finding) { return begin.finding == finding || end.finding == finding; };
  if (begin.finding == Finding::blank && end.finding == Finding::blank) return 0;
  if (either(Finding::other_version))
    return Failure{StartError{"{}: the disk is of another version than {}", heading.name(), heading.version()}};
  if (!either(Finding::good) && either(Finding::damaged))
    return Failure{StartError{"{}: both headers are damaged", heading.name()}};
  if (!either(Finding::good))
    return Failure{StartError{"{}: the disk holds something else: left as it is", heading.name()}};
  const bool by_first = begin.finding == Finding::good;
  MIRAGE_CHECK(heading.use(by_first ? first : last));
  const std::uint64_t said = by_first ? begin.blocks : end.blocks;
  if (said > blocks || said < least_blocks) {
    return Failure{StartError{"{}: the disk is truncated: {} of {} bytes", heading.name(), blocks * block_size,
                              said * block_size}};
  }
  // A disk that has grown has its second header in the middle.
  if (said == blocks && begin.finding != end.finding)
    shard.logger(heading.name()).warning("one of the two headers is damaged");
  return said;
}

}  // namespace

Found Frame::decode(Bytes block) const noexcept {
  using enum Finding;
  if (is_zero(block)) return {blank, 0};
  if (as_text(block.first(magic.size())) != magic) return {foreign, 0};
  if (load_little<std::uint32_t>(block, sum) != wire::crc32c(block.first(sum))) return {damaged, 0};
  if (load_little<std::uint32_t>(block, version_at) != version) return {other_version, 0};
  return {good, load_little<std::uint64_t>(block, blocks)};
}

void Frame::begin(MutableBytes block, std::uint64_t of_blocks) const noexcept {
  std::ranges::fill(block, std::byte{});
  std::ranges::copy(as_bytes(magic), block.begin());
  store_little(block, version_at, version);
  store_little(block, blocks, of_blocks);
}

void Frame::seal(MutableBytes block) const noexcept { store_little(block, sum, wire::crc32c(block.first(sum))); }

bool is_begun(Bytes block) noexcept {
  return as_text(block.first(begun_magic.size())) == begun_magic && is_zero(block.subspan(begun_magic.size()));
}

Task<BlockResult> write_begun(BlockPort& disk) {
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[block_size]());
  if (!memory) co_return Failure{BlockError::no_memory};
  const MutableBytes block{memory.get(), block_size};
  std::ranges::copy(as_bytes(begun_magic), block.begin());
  MIRAGE_CO_CHECK(co_await disk.write(0, block));
  if (disk.geometry().durability == Durability::none) co_return BlockResult{};
  co_return co_await disk.flush();
}

Task<Result<std::uint64_t, StartError>> read_headers(BlockPort& disk, Heading& heading) {
  const Device device{disk};
  if (device.geometry.sector_size > block_size || device.blocks < least_blocks) {
    co_return Failure{
        StartError{"{}: disks of at least 16 KiB with sectors of at most 4096 bytes are supported", heading.name()}};
  }
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[2 * block_size]());
  if (!memory) co_return Failure{StartError::no_memory};
  const MutableBytes first{memory.get(), block_size};
  const MutableBytes last{memory.get() + block_size, block_size};
  const BlockResult one = co_await disk.read(0, first);
  const BlockResult two = co_await disk.read(device.last(), last);
  if (!one && !two) co_return Failure{StartError{"{}: the headers cannot be read: {}", heading.name(), one.error()}};
  const auto said =
      accept(disk.shard(), device.blocks, heading, one ? first : MutableBytes{}, two ? last : MutableBytes{});
  if (!said || *said != 0 || is_begun(first)) co_return said;
  const auto blank = co_await is_blank(disk.shard(), disk);
  if (!blank) co_return Failure{StartError{"{}: the disk cannot be read: {}", heading.name(), blank.error()}};
  if (!*blank) co_return Failure{StartError{"{}: the disk holds something else: left as it is", heading.name()}};
  co_return 0;
}

Task<Result<void, StartError>> write_headers(BlockPort& disk, const Heading& heading, Bytes block) {
  const Device device{disk};
  const bool flushes = device.geometry.durability != Durability::none;
  BlockResult done = flushes ? co_await disk.flush() : BlockResult{};
  if (done) done = co_await disk.write(device.last(), block);
  if (done) done = co_await disk.write(0, block);
  if (done && flushes) done = co_await disk.flush();
  if (!done) co_return Failure{StartError{"{}: the disk cannot be formatted: {}", heading.name(), done.error()}};
  co_return Result<void, StartError>{};
}

}  // namespace mirage::device::tagged
