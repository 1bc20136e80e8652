// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/target/spt/block.hpp>
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>

namespace mirage::target::spt {

Result<void, StartError> Block::attach() noexcept {
  const solo5::ManifestEntry* entry = find_device(name_, solo5::DeviceType::block);
  if (entry == nullptr) return Failure{StartError{"no block device '{}' is attached", name_}};
  const auto index = static_cast<std::size_t>(entry - manifest().data());
  descriptor_ = entry->descriptor;
  geometry_.sector_size = entry->block.block_size;
  geometry_.sectors = entry->block.capacity / geometry_.sector_size;
  request_limit_ = geometry_.sector_size;
  if (granted(solo5::many_blocks)) {
    const std::size_t limit = extension()->block_request_limit;
    request_limit_ = std::max(request_limit_, limit - limit % geometry_.sector_size);
  }
  if (granted(solo5::block_flush) && (extension()->flush_devices >> index & 1) != 0) {
    geometry_.durability = Durability::flush;
  }
  shard_.logger("spt").info("block device '{}': {} sectors of {} bytes, {} bytes a request, flush={}", name_,
                            geometry_.sectors, geometry_.sector_size, request_limit_,
                            geometry_.durability == Durability::flush ? "yes" : "no");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return attach(); }

Result<void, BlockError> Block::transfer(bool to_device, std::uint64_t sector, std::byte* memory,
                                         std::size_t size) noexcept {
  if (const auto checked = check_range(geometry_, sector, size); !checked) return checked;
  const call::Number number = to_device ? call::Number::pwrite64 : call::Number::pread64;
  std::uint64_t offset = sector * geometry_.sector_size;
  while (size != 0) {
    const std::size_t part = std::min(size, request_limit_);
    const long count =
        call::make(number, descriptor_, call::address(memory), static_cast<long>(part), static_cast<long>(offset));
    if (count == call::error_interrupted) continue;
    if (count != static_cast<long>(part)) return Failure{BlockError::io};
    memory += part;
    size -= part;
    offset += part;
  }
  return {};
}

Block::Done Block::read(std::uint64_t sector, MutableBytes bytes) noexcept {
  return Done{transfer(false, sector, bytes.data(), bytes.size())};
}

Block::Done Block::write(std::uint64_t sector, Bytes bytes) noexcept {
  // pwrite64 only reads the memory.
  return Done{transfer(true, sector, const_cast<std::byte*>(bytes.data()), bytes.size())};
}

Block::Done Block::flush() noexcept {
  if (geometry_.durability != Durability::flush) return Done{Failure{BlockError::unsupported}};
  const bool done = call::make(call::Number::fdatasync, descriptor_) == 0;
  return Done{done ? Result<void, BlockError>{} : Failure{BlockError::io}};
}

static_assert(mirage::Block<Block>);

}  // namespace mirage::target::spt
