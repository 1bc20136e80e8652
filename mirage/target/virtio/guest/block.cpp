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
  for (auto number = attachment_.open(DeviceType::block, this); number;
       number = attachment_.open(DeviceType::block, this, *number + 1)) {
    if (device_.start(attachment_.transport()) == Device::Error::none) {
      Device::Identifier identifier{};
      const auto answer = device_.read_identifier(shard_.environment(), identifier);
      silent_ = silent_ || answer == Device::Answer::silent;
      // Identifiers are cut at 20 bytes; without an answer it is empty. What begins with no letter is a monitor's own
      // idea (Firecracker and cloud-hypervisor: numbers of the file), not some module's name.
      const bool nameless = answer != Device::Answer::silent && identifier[0] <= '9';
      if (by_identifier ? text_of(identifier) == name_.substr(0, identifier.size()) : nameless) return true;
    }
    device_.stop();
  }
  return false;
}

Result<void, StartError> Block::attach() noexcept {
  const bool is_named = find(true);
  if (!is_named && silent_) {
    // It may be the one that is looked for: another one must not serve in its place.
    return Failure{StartError{"no block device '{}', and one does not answer when it is asked for its serial", name_}};
  }
  if (!is_named && !find(false)) {
    return Failure{StartError{"no block device '{}' (QEMU: -device virtio-blk-pci,serial={},drive=...)", name_, name_}};
  }
  shard_.add_poller(device_);
  shard_.logger("virtio").debug("block device {}: {}, {} sectors of {} bytes, queues: {}{}{}", name_,
                                attachment_.description(), geometry().sectors, geometry().sector_size,
                                device_.queue_count(), geometry().durability == Durability::flush ? ", flush" : "",
                                geometry().discard ? ", discard" : "");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return attach(); }

void Block::disarm(bool quiet) noexcept {
  attachment_.transport().acknowledge_interrupt();
  device_.disarm();
  if (quiet && device_.needs_reset())
    shard_.logger("virtio").error("block device '{}': the device needs a reset", name_);
}

static_assert(ScatterBlock<Block> && DiscardBlock<Block>);

}  // namespace mirage::target::virtio
