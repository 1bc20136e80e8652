// SPDX-License-Identifier: ISC
#include <mirage/target/virtio/net.hpp>

namespace mirage::target::virtio {

Result<void, StartError> Net::attach() noexcept {
  using Error = mirage::virtio::NetDevice::Error;
  if (!attachment_.open(DeviceType::net)) {
    return Failure{StartError{"no network device for '{}' (QEMU: -device virtio-net-pci)", name_}};
  }
  switch (device_.start(attachment_.transport())) {
    case Error::none:
      break;
    case Error::refused:
      return Failure{StartError{"the device for network '{}' refuses our features", name_}};
    case Error::no_queue:
      return Failure{StartError{"the device for network '{}' has no usable queues, or memory is short", name_}};
    case Error::no_memory:
      return Failure{StartError{"no memory for the buffers of network '{}'", name_}};
  }
  if (!add_wakeable(*this)) return Failure{StartError{"too many devices"}};
  const NetCapabilities& data = device_.capabilities();
  shard_.logger("virtio").debug("network {}: {} mtu={} checksum={} tso={} gro={} queues={}", name_,
                                attachment_.description(), data.mtu, data.transmit_checksum, data.segment_tcp4,
                                data.coalesce, device_.pair_count());
  return {};
}

Task<Result<void, StartError>> Net::start() { co_return attach(); }

void Net::disarm() noexcept {
  attachment_.transport().acknowledge_interrupt();
  device_.disarm();
}

}  // namespace mirage::target::virtio
