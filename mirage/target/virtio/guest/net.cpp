// SPDX-License-Identifier: ISC
#include <mirage/target/virtio/net.hpp>

namespace mirage::target::virtio {

namespace {

std::string_view text_of(mirage::virtio::NetDevice::Error error) noexcept {
  using Error = mirage::virtio::NetDevice::Error;
  switch (error) {
    case Error::none:
      break;
    case Error::refused:
      return "the device refuses our features";
    case Error::no_queue:
      return "the device has no usable queues, or memory is short";
    case Error::no_memory:
      return "no memory for the buffers";
    case Error::no_entropy:
      return "no entropy for a MAC address";
  }
  return {};
}

}  // namespace

Result<void, StartError> Net::attach() noexcept {
  if (!attachment_.open(DeviceType::net, this)) {
    return Failure{StartError{"no network device for '{}' (QEMU: -device virtio-net-pci)", name_}};
  }
  if (const std::string_view error = text_of(device_.start(attachment_.transport())); !error.empty()) {
    return Failure{StartError{"network '{}': {}", name_, error}};
  }
  const NetCapabilities& data = device_.capabilities();
  shard_.logger("virtio").debug("network {}: {} mtu={} checksum={} tso={} gro={} queues={}", name_,
                                attachment_.description(), data.mtu, data.transmit_checksum, data.segment_tcp4,
                                data.coalesce, device_.pair_count());
  return {};
}

Task<Result<void, StartError>> Net::start() { co_return attach(); }

void Net::disarm(bool quiet) noexcept {
  attachment_.transport().acknowledge_interrupt();
  device_.disarm();
  if (quiet && device_.needs_reset()) shard_.logger("virtio").error("network '{}': the device needs a reset", name_);
}

}  // namespace mirage::target::virtio
