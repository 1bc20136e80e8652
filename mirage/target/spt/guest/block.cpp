// SPDX-License-Identifier: ISC
#include <mirage/target/spt/block.hpp>
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>

namespace mirage::target::spt {

Result<void, StartError> Block::attach() noexcept {
  const solo5::ManifestEntry* entry = find_device(name_, solo5::DeviceType::block);
  if (entry == nullptr) return Failure{StartError{"no block device '{}' is attached", name_}};
  descriptor_ = entry->descriptor;
  // The base ABI moves one block a call.
  describe(*entry, static_cast<std::size_t>(entry - manifest().data()), extension(), 0);
  shard().logger("spt").info("block device '{}': {} sectors of {} bytes, {} bytes a request, flush={}{}{}", name_,
                             geometry().sectors, geometry().sector_size, geometry().maximum_transfer,
                             geometry().durability == Durability::flush ? "yes" : "no",
                             geometry().discard ? ", discard" : "", geometry().read_only ? ", read-only" : "");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return attach(); }

bool Block::move(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept {
  const call::Number number = to_device ? call::Number::pwrite64 : call::Number::pread64;
  long count = call::error_interrupted;
  while (count == call::error_interrupted) {
    count = call::make(number, descriptor_, call::address(memory), static_cast<long>(size), static_cast<long>(offset));
  }
  return count == static_cast<long>(size);
}

bool Block::flush_host() noexcept { return call::make(call::Number::fdatasync, descriptor_) == 0; }

BlockResult Block::punch(std::uint64_t offset, std::uint64_t size) noexcept {
  const long result = call::make(call::Number::fallocate, descriptor_, call::punch_hole, static_cast<long>(offset),
                                 static_cast<long>(size));
  if (result == 0) return {};
  return Failure{result == call::error_unsupported ? BlockError::unsupported : BlockError::io};
}

static_assert(ScatterBlock<Block> && DiscardBlock<Block>);

}  // namespace mirage::target::spt
