// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <cstring>

#include <mirage/target/solo5/block_device.hpp>

namespace mirage::target::solo5 {

namespace {
constexpr std::size_t bounce_size = 65536;  // the largest sector fits
constexpr std::uint32_t largest_alignment = 65536;
}  // namespace

void BlockDevice::describe(const ManifestEntry& entry, std::size_t index, const Extension* extension,
                           std::size_t stock_limit) noexcept {
  geometry_.sector_size = entry.block.block_size;
  geometry_.sectors = entry.block.capacity / geometry_.sector_size;
  const std::uint64_t granted = extension == nullptr ? 0 : extension->granted;
  const auto has = [&](Capability capability) { return (granted & capability) != 0; };
  request_limit_ = std::max<std::size_t>(stock_limit, geometry_.sector_size);
  if (has(many_blocks)) request_limit_ = std::max<std::size_t>(request_limit_, extension->block_request_limit);
  request_limit_ -= request_limit_ % geometry_.sector_size;
  geometry_.maximum_transfer = request_limit_;
  if (has(block_flush) && (extension->flush_devices >> index & 1) != 0) geometry_.durability = Durability::flush;
  if (has(block_limits)) {
    geometry_.read_only = (extension->read_only_devices >> index & 1) != 0;
    const auto alignment = static_cast<std::uint32_t>(extension->block_alignment);
    geometry_.alignment = std::has_single_bit(alignment) ? std::min(alignment, largest_alignment) : 1;
  }
  geometry_.discard = geometry_.write_zeroes =
      !geometry_.read_only && has(block_discard) && (extension->discard_devices >> index & 1) != 0;
}

bool BlockDevice::move_copied(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept {
  if (to_device) std::memcpy(bounce_.get(), memory, size);
  if (!move(to_device, offset, bounce_.get(), size)) return false;
  if (!to_device) std::memcpy(memory, bounce_.get(), size);
  return true;
}

BlockResult BlockDevice::transfer(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept {
  const bool copied = reinterpret_cast<std::uintptr_t>(memory) % geometry_.alignment != 0;
  if (copied && !bounce_) bounce_.reset(static_cast<std::byte*>(std::aligned_alloc(bounce_size, bounce_size)));
  if (copied && !bounce_) return Failure{BlockError::no_memory};
  const std::size_t limit = copied ? std::min(request_limit_, bounce_size) : request_limit_;
  while (size != 0) {
    const std::size_t part = std::min(size, limit);
    const bool moved = copied ? move_copied(to_device, offset, memory, part) : move(to_device, offset, memory, part);
    if (!moved) return Failure{BlockError::io};
    memory += part;
    size -= part;
    offset += part;
  }
  return {};
}

BlockDevice::Done BlockDevice::read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept {
  BlockResult result = check_pieces(geometry_, sector, pieces);
  std::uint64_t offset = sector * geometry_.sector_size;
  for (std::size_t i = 0; result && i < pieces.size(); ++i) {
    result = transfer(false, offset, pieces[i].data(), pieces[i].size());
    offset += pieces[i].size();
  }
  return Done{result};
}

BlockDevice::Done BlockDevice::write_gather(std::uint64_t sector, BlockPieces pieces) noexcept {
  BlockResult result = check_pieces(geometry_, sector, pieces);
  if (result && geometry_.read_only) result = Failure{BlockError::read_only};
  std::uint64_t offset = sector * geometry_.sector_size;
  for (std::size_t i = 0; result && i < pieces.size(); ++i) {
    // A write only reads the memory.
    result = transfer(true, offset, const_cast<std::byte*>(pieces[i].data()), pieces[i].size());
    offset += pieces[i].size();
  }
  return Done{result};
}

BlockDevice::Done BlockDevice::flush() noexcept {
  if (geometry_.durability != Durability::flush) return Done{Failure{BlockError::unsupported}};
  return Done{flush_host() ? BlockResult{} : Failure{BlockError::io}};
}

BlockDevice::Done BlockDevice::discard(std::uint64_t sector, std::uint64_t count) noexcept {
  if (const auto range = check_sectors(geometry_, sector, count); !range) return Done{range};
  if (geometry_.read_only) return Done{Failure{BlockError::read_only}};
  if (!geometry_.discard) return Done{Failure{BlockError::unsupported}};
  if (count == 0) return Done{{}};
  return Done{punch(sector * geometry_.sector_size, count * geometry_.sector_size)};
}

}  // namespace mirage::target::solo5
