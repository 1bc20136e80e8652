// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/target/virtio/block.hpp>

namespace mirage::target::virtio {

namespace {

std::string_view text_of(const mirage::virtio::BlockDevice::Identifier& identifier) noexcept {
  return {identifier.data(), static_cast<std::size_t>(std::ranges::find(identifier, '\0') - identifier.begin())};
}

}  // namespace

bool Block::find(bool by_identifier) noexcept {
  using Device = mirage::virtio::BlockDevice;
  for (auto number = attachment_.open(DeviceType::block); number;
       number = attachment_.open(DeviceType::block, *number + 1)) {
    if (device_.start(attachment_.transport()) == Device::Error::none) {
      Device::Identifier identifier{};
      const bool named = device_.read_identifier(identifier) && !text_of(identifier).empty();
      // Identifiers are cut at 20 bytes.
      if (by_identifier ? named && text_of(identifier) == name_.substr(0, identifier.size()) : !named) return true;
    }
    device_.stop();
  }
  return false;
}

Result<void, StartError> Block::attach() noexcept {
  if (!find(true) && !find(false)) {
    return Failure{StartError{"no block device '{}' (QEMU: -device virtio-blk-pci,serial={},drive=...)", name_, name_}};
  }
  if (!add_wakeable(*this)) return Failure{StartError{"too many devices"}};
  shard_.add_poller(device_);
  shard_.logger("virtio").debug("block device {}: {}, {} sectors of {} bytes, queues: {}{}{}", name_,
                                attachment_.description(), geometry().sectors, geometry().sector_size,
                                device_.queue_count(), geometry().durability == Durability::flush ? ", flush" : "",
                                geometry().discard ? ", discard" : "");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return attach(); }

void Block::disarm() noexcept {
  attachment_.transport().acknowledge_interrupt();
  device_.disarm();
}

static_assert(ScatterBlock<Block> && DiscardBlock<Block>);

}  // namespace mirage::target::virtio
