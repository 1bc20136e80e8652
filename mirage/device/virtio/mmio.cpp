// SPDX-License-Identifier: ISC
#include <mirage/device/virtio/mmio.hpp>

namespace mirage::virtio {

namespace {

// Section 4.2.2; the legacy ones are of section 4.2.4.
constexpr std::uint32_t magic_value = 0x000;
constexpr std::uint32_t version = 0x004;
constexpr std::uint32_t device_id = 0x008;
constexpr std::uint32_t device_features_word = 0x010;
constexpr std::uint32_t device_features_select = 0x014;
constexpr std::uint32_t driver_features_word = 0x020;
constexpr std::uint32_t driver_features_select = 0x024;
constexpr std::uint32_t legacy_page_size = 0x028;
constexpr std::uint32_t queue_select = 0x030;
constexpr std::uint32_t queue_size_limit = 0x034;
constexpr std::uint32_t queue_size = 0x038;
constexpr std::uint32_t legacy_queue_align = 0x03c;
constexpr std::uint32_t legacy_queue_page = 0x040;
constexpr std::uint32_t queue_ready = 0x044;
constexpr std::uint32_t queue_notify = 0x050;
constexpr std::uint32_t interrupt_status = 0x060;
constexpr std::uint32_t interrupt_acknowledge = 0x064;
constexpr std::uint32_t status_word = 0x070;
constexpr std::uint32_t queue_descriptors = 0x080;
constexpr std::uint32_t queue_available = 0x090;
constexpr std::uint32_t queue_used = 0x0a0;
constexpr std::uint32_t generation_word = 0x0fc;
constexpr std::uint32_t configuration = 0x100;
constexpr std::uint32_t magic = 0x7472'6976;
constexpr std::uint32_t page = 4096;

}  // namespace

MmioTransport::MmioTransport(RegisterWindow window) noexcept : window_(window) {
  if (window_.read<std::uint32_t>(magic_value) != magic) return;
  const auto found = window_.read<std::uint32_t>(version);
  if (found != 1 && found != 2) return;
  modern_ = found == 2;
  type_ = static_cast<DeviceType>(window_.read<std::uint32_t>(device_id) & 0xffff);
}

std::uint8_t MmioTransport::status() noexcept {
  return static_cast<std::uint8_t>(window_.read<std::uint32_t>(status_word));
}

void MmioTransport::set_status(std::uint8_t status) noexcept {
  window_.write<std::uint32_t>(status_word, status);
  if (status != Status::reset) return;
  constexpr unsigned polls = 100'000;
  for (unsigned i = 0; i < polls && this->status() != Status::reset; ++i) {
  }
  if (!modern_) window_.write<std::uint32_t>(legacy_page_size, page);
}

std::uint64_t MmioTransport::device_features() noexcept {
  window_.write<std::uint32_t>(device_features_select, 1);
  const std::uint64_t high = window_.read<std::uint32_t>(device_features_word);
  window_.write<std::uint32_t>(device_features_select, 0);
  return high << 32 | window_.read<std::uint32_t>(device_features_word);
}

void MmioTransport::set_driver_features(std::uint64_t features) noexcept {
  window_.write<std::uint32_t>(driver_features_select, 1);
  window_.write<std::uint32_t>(driver_features_word, static_cast<std::uint32_t>(features >> 32));
  window_.write<std::uint32_t>(driver_features_select, 0);
  window_.write<std::uint32_t>(driver_features_word, static_cast<std::uint32_t>(features));
}

std::uint16_t MmioTransport::queue_limit(std::uint16_t queue) noexcept {
  window_.write<std::uint32_t>(queue_select, queue);
  const std::uint32_t in_use = window_.read<std::uint32_t>(modern_ ? queue_ready : legacy_queue_page);
  const std::uint32_t limit = window_.read<std::uint32_t>(queue_size_limit);
  return in_use != 0 ? std::uint16_t{0} : limit > 0x8000 ? std::uint16_t{0x8000} : static_cast<std::uint16_t>(limit);
}

bool MmioTransport::enable_queue(Doorbell& doorbell, std::uint16_t size, const RingAddresses& ring) noexcept {
  window_.write<std::uint32_t>(queue_select, doorbell.queue);
  window_.write<std::uint32_t>(queue_size, size);
  if (modern_) {
    window_.write_wide(queue_descriptors, ring.descriptors);
    window_.write_wide(queue_available, ring.available);
    window_.write_wide(queue_used, ring.used);
    window_.write<std::uint32_t>(queue_ready, 1);
    return true;
  }
  if (ring.descriptors / page > UINT32_MAX) return false;
  window_.write<std::uint32_t>(legacy_queue_align, page);
  window_.write<std::uint32_t>(legacy_queue_page, static_cast<std::uint32_t>(ring.descriptors / page));
  return true;
}

void MmioTransport::notify(Doorbell doorbell) noexcept { window_.write<std::uint32_t>(queue_notify, doorbell.queue); }

std::uint32_t MmioTransport::read_configuration(std::uint32_t offset, unsigned bytes) noexcept {
  return window_.read_field(configuration + offset, bytes);
}

std::uint32_t MmioTransport::configuration_generation() noexcept {
  return modern_ ? window_.read<std::uint32_t>(generation_word) : 0;
}

void MmioTransport::acknowledge_interrupt() noexcept {
  const auto pending = window_.read<std::uint32_t>(interrupt_status);
  if (pending != 0) window_.write<std::uint32_t>(interrupt_acknowledge, pending);
}

}  // namespace mirage::virtio
