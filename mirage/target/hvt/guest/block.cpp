// SPDX-License-Identifier: ISC
#include <mirage/target/hvt/block.hpp>
#include <mirage/target/hvt/guest/boot.hpp>

namespace mirage::target::hvt {

namespace {
/// The base call takes any length; this much at once keeps the guest from standing still for long.
constexpr std::size_t stock_limit = std::size_t{1} << 20;
}  // namespace

Result<void, StartError> Block::attach() noexcept {
  const solo5::ManifestEntry* entry = find_device(name_, solo5::DeviceType::block);
  if (entry == nullptr) return Failure{StartError{"no block device '{}' is attached", name_}};
  handle_ = handle_of(*entry);
  describe(*entry, handle_, guest.extension, stock_limit);
  const bool queue = granted(solo5::block_queue) && (guest.extension->queue_devices >> handle_ & 1) != 0;
  if (queue && !use_queue(handle_)) return Failure{StartError::no_memory};
  shard().logger("hvt").info("block device '{}': {} sectors of {} bytes, flush={}{}{}{}", name_, geometry().sectors,
                             geometry().sector_size, geometry().durability == Durability::flush ? "yes" : "no",
                             geometry().discard ? ", discard" : "", geometry().read_only ? ", read-only" : "",
                             queue ? ", several requests in flight" : "");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return attach(); }

bool Block::move(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept {
  BlockCall call{handle_, offset, address_of(memory), size, 0, 0};
  hypercall(to_device ? Hypercall::block_write : Hypercall::block_read, call);
  return succeeded(call.result);
}

void Block::exchange(BlockQueueCall& call) noexcept { hypercall(Hypercall::block_queue, call); }

bool Block::flush_host() noexcept {
  FlushCall call{handle_, 0, 0};
  hypercall(Hypercall::block_flush, call);
  return succeeded(call.result);
}

BlockResult Block::punch(std::uint64_t offset, std::uint64_t size) noexcept {
  DiscardCall call{handle_, offset, size, 0, 0};
  hypercall(Hypercall::block_discard, call);
  if (succeeded(call.result)) return {};
  const bool lacking = call.result == static_cast<std::int32_t>(CallResult::again);
  return Failure{lacking ? BlockError::unsupported : BlockError::io};
}

static_assert(ScatterBlock<Block> && DiscardBlock<Block>);

}  // namespace mirage::target::hvt
