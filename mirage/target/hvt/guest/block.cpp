// SPDX-License-Identifier: ISC
#include <mirage/target/hvt/block.hpp>
#include <mirage/target/hvt/guest/boot.hpp>

namespace mirage::target::hvt {

Result<void, StartError> Block::attach() noexcept {
  const solo5::ManifestEntry* entry = find_device(name_, solo5::DeviceType::block);
  if (entry == nullptr) return Failure{StartError{"no block device '{}' is attached", name_}};
  handle_ = handle_of(*entry);
  geometry_.sector_size = entry->block.block_size;
  geometry_.sectors = entry->block.capacity / geometry_.sector_size;
  if (granted(solo5::block_flush) && (guest.extension->flush_devices >> handle_ & 1) != 0) {
    geometry_.durability = Durability::flush;
  }
  shard_.logger("hvt").info("block device '{}': {} sectors of {} bytes, flush={}", name_, geometry_.sectors,
                            geometry_.sector_size, geometry_.durability == Durability::flush ? "yes" : "no");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return attach(); }

Block::Done Block::transfer(bool to_device, std::uint64_t sector, const std::byte* memory, std::size_t size) noexcept {
  if (const auto checked = check_range(geometry_, sector, size); !checked) return Done{checked};
  if (size == 0) return Done{{}};
  BlockCall call{handle_, sector * geometry_.sector_size, address_of(memory), size, 0, 0};
  hypercall(to_device ? Hypercall::block_write : Hypercall::block_read, call);
  return Done{succeeded(call.result) ? Result<void, BlockError>{} : Failure{BlockError::io}};
}

Block::Done Block::read(std::uint64_t sector, MutableBytes bytes) noexcept {
  return transfer(false, sector, bytes.data(), bytes.size());
}

Block::Done Block::write(std::uint64_t sector, Bytes bytes) noexcept {
  return transfer(true, sector, bytes.data(), bytes.size());
}

Block::Done Block::flush() noexcept {
  if (geometry_.durability != Durability::flush) return Done{Failure{BlockError::unsupported}};
  FlushCall call{handle_, 0, 0};
  hypercall(Hypercall::block_flush, call);
  return Done{succeeded(call.result) ? Result<void, BlockError>{} : Failure{BlockError::io}};
}

static_assert(mirage::Block<Block>);

}  // namespace mirage::target::hvt
