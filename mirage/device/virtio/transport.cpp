// SPDX-License-Identifier: ISC
#include <mirage/device/virtio/transport.hpp>

namespace mirage::virtio {

std::uint64_t read_configuration(Transport& transport, std::uint32_t offset, std::size_t size,
                                 unsigned width) noexcept {
  std::uint64_t value = 0;
  for (unsigned reads = 1000; reads != 0; --reads) {
    const std::uint32_t generation = transport.configuration_generation();
    value = 0;
    for (unsigned at = 0; at < size; at += width) {
      value |= std::uint64_t{transport.read_configuration(offset + at, width)} << 8 * at;
    }
    if (transport.configuration_generation() == generation) break;
  }
  return value;
}

Negotiated negotiate(Transport& transport, std::uint64_t wanted) noexcept {
  transport.set_status(Status::reset);
  std::uint8_t status = Status::acknowledge;
  transport.set_status(status);
  status |= Status::driver;
  transport.set_status(status);
  const std::uint64_t offered = transport.device_features();
  Negotiated result{.good = true, .features = offered & wanted};
  if (!transport.modern()) {
    result.features &= UINT32_MAX;
    transport.set_driver_features(result.features);
    return result;
  }
  result.features &= ~Feature::any_layout;  // implied
  result.features |= offered & Feature::version_1;
  transport.set_driver_features(result.features);
  transport.set_status(status | Status::features_ok);
  result.good = result.has(Feature::version_1) && (transport.status() & Status::features_ok) != 0;
  if (!result.good) transport.set_status(status | Status::failed);
  return result;
}

void finish_start(Transport& transport) noexcept {
  const std::uint8_t before =
      Status::acknowledge | Status::driver | (transport.modern() ? Status::features_ok : std::uint8_t{0});
  transport.set_status(before | Status::driver_ok);
}

}  // namespace mirage::virtio
