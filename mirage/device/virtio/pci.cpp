// SPDX-License-Identifier: ISC
#include <mirage/device/virtio/pci.hpp>

namespace mirage::virtio {

namespace {

// PCI configuration header.
constexpr std::uint8_t at_id = 0x00;
constexpr std::uint8_t at_command = 0x04;
constexpr std::uint8_t at_bars = 0x10;
constexpr std::uint8_t at_subsystem = 0x2c;
constexpr std::uint8_t at_capabilities = 0x34;
constexpr std::uint8_t at_interrupt = 0x3c;
constexpr std::uint32_t command_decode_and_master = 0x7;
constexpr std::uint32_t command_no_interrupt_line = 1U << 10;
constexpr std::uint32_t status_has_capabilities = 1U << 20;
constexpr std::uint8_t capability_vendor = 0x09;
constexpr std::uint8_t capability_msix = 0x11;
constexpr std::uint32_t msix_enable = 1U << 31;
constexpr std::uint32_t msix_mask_all = 1U << 30;
constexpr unsigned maximum_capabilities = 48;  // 192 bytes of list, 4 each
// struct virtio_pci_cap, section 4.1.4
constexpr std::uint8_t type_common = 1;
constexpr std::uint8_t type_notify = 2;
constexpr std::uint8_t type_interrupt = 3;
constexpr std::uint8_t type_device = 4;
// struct virtio_pci_common_cfg, section 4.1.4.3
constexpr std::uint32_t device_feature_select = 0;
constexpr std::uint32_t device_feature = 4;
constexpr std::uint32_t driver_feature_select = 8;
constexpr std::uint32_t driver_feature = 12;
constexpr std::uint32_t config_msix_vector = 16;
constexpr std::uint32_t device_status = 20;
constexpr std::uint32_t generation_byte = 21;
constexpr std::uint32_t common_queue_select = 22;
constexpr std::uint32_t common_queue_size = 24;
constexpr std::uint32_t queue_msix_vector = 26;
constexpr std::uint32_t queue_enable = 28;
constexpr std::uint32_t queue_notify_offset = 30;
constexpr std::uint32_t common_queue_descriptors = 32;
constexpr std::uint32_t queue_driver = 40;
constexpr std::uint32_t queue_device = 48;
constexpr std::uint32_t common_size = 56;
constexpr std::uint16_t no_vector = 0xffff;
// Legacy header, section 4.1.4.8
constexpr std::uint16_t legacy_device_features = 0;
constexpr std::uint16_t legacy_driver_features = 4;
constexpr std::uint16_t legacy_queue_address = 8;
constexpr std::uint16_t legacy_queue_size = 12;
constexpr std::uint16_t legacy_queue_select = 14;
constexpr std::uint16_t legacy_queue_notify = 16;
constexpr std::uint16_t legacy_status = 18;
constexpr std::uint16_t legacy_interrupt = 19;
constexpr std::uint16_t legacy_config_vector = 20;
constexpr std::uint16_t legacy_queue_vector = 22;
constexpr std::uint16_t legacy_header = 20;
constexpr std::uint16_t legacy_header_with_messages = 24;
constexpr std::uint64_t legacy_page = 4096;

}  // namespace

DeviceType pci_device_type(const PciAccess& access, PciAddress address) noexcept {
  const std::uint32_t id = access.read(address, at_id);
  const std::uint32_t device = id >> 16;
  if ((id & 0xffff) != pci_virtio_vendor) return DeviceType::none;
  if (device >= 0x1040 && device < 0x1080) return static_cast<DeviceType>(device - 0x1040);
  if (device < 0x1000 || device >= 0x1040) return DeviceType::none;
  return static_cast<DeviceType>(access.read(address, at_subsystem) >> 16);  // transitional
}

std::uint64_t PciTransport::bar_address(unsigned bar) noexcept {
  const unsigned offset = at_bars + 4 * bar;
  const std::uint32_t low = read_register(offset);
  if ((low & 1) != 0) return 0;
  const bool wide = (low & 6) == 4 && bar < 5;
  const std::uint64_t high = wide ? read_register(offset + 4) : 0;
  return high << 32 | (low & ~15U);
}

RegisterWindow PciTransport::map_capability(std::uint8_t capability) noexcept {
  constexpr std::uint32_t longest = 1U << 20;
  const unsigned bar = read_register(capability + 4) & 0xff;
  const std::uint32_t offset = read_register(capability + 8);
  const std::uint32_t size = read_register(capability + 12);
  if (bar > 5) return {};
  const std::uint64_t base = bar_address(bar);
  const auto address = checked_add<std::uint64_t>(base, offset);
  if (base == 0 || !address || size == 0 || size > longest) return {};
  return access_->map(*address, size);
}

void PciTransport::read_capability(std::uint8_t capability) noexcept {
  const std::uint32_t head = read_register(capability);
  const std::uint32_t length = head >> 16 & 0xff;
  // The list's entries stay inside the 256 bytes of configuration space.
  if ((head & 0xff) == capability_msix && capability <= 256 - 12) message_capability_ = capability;
  if ((head & 0xff) != capability_vendor || length < 16 || capability > 256 - 20) return;
  // The first capability of a type is the one to use (section 4.1.4).
  switch (head >> 24) {
    case type_common:
      if (common_.size() == 0) common_ = map_capability(capability);
      break;
    case type_notify:
      if (notify_.size() != 0 || length < 20) break;
      notify_ = map_capability(capability);
      notify_multiplier_ = read_register(capability + 16);
      break;
    case type_interrupt:
      if (interrupt_.size() == 0) interrupt_ = map_capability(capability);
      break;
    case type_device:
      if (device_.size() == 0) device_ = map_capability(capability);
      break;
    default:
      break;
  }
}

void PciTransport::read_capabilities() noexcept {
  if ((read_register(at_command) & status_has_capabilities) == 0) return;
  auto capability = static_cast<std::uint8_t>(read_register(at_capabilities) & 0xfc);
  for (unsigned i = 0; i < maximum_capabilities && capability >= 0x40; ++i) {
    read_capability(capability);
    capability = static_cast<std::uint8_t>(read_register(capability) >> 8 & 0xfc);
  }
}

bool PciTransport::open_legacy() noexcept {
  const std::uint32_t bar = read_register(at_bars);
  const bool transitional = read_register(at_id) >> 16 < 0x1040;
  if (!transitional || (bar & 1) == 0 || (bar & ~3U) == 0 || bar > UINT16_MAX - 256) return false;
  ports_ = static_cast<std::uint16_t>(bar & ~3U);
  return true;
}

bool PciTransport::open(const PciAccess& access, PciAddress address) noexcept {
  access_ = &access;
  address_ = address;
  common_ = notify_ = interrupt_ = device_ = {};
  ports_ = 0;
  message_capability_ = 0;
  messages_ = false;
  const std::uint32_t command = read_register(at_command) & 0xffff;
  write_register(at_command, command | command_decode_and_master);
  read_capabilities();
  modern_ = common_.size() >= common_size && notify_.size() >= 2 && interrupt_.size() >= 1;
  return modern_ || open_legacy();
}

bool PciTransport::use_messages(const Message& message) noexcept {
  if (message_capability_ == 0) return false;
  const std::uint32_t control = read_register(message_capability_);
  const std::uint32_t table = read_register(message_capability_ + 4);
  const unsigned bar = table & 7;
  const std::uint64_t base = bar > 5 ? 0 : bar_address(bar);
  const auto entry_address = checked_add<std::uint64_t>(base, table & ~7U);
  if (base == 0 || !entry_address) return false;
  const RegisterWindow entry = access_->map(*entry_address, 16);
  if (entry.size() == 0) return false;
  write_register(message_capability_, (control & 0x3fff'ffff) | msix_enable | msix_mask_all);
  entry.write_wide(0, message.address);
  entry.write_wide(8, message.data);  // and not masked
  const std::uint32_t command = read_register(at_command) & 0xffff;
  write_register(at_command, command | command_no_interrupt_line);
  write_register(message_capability_, (control & 0x3fff'ffff) | msix_enable);
  messages_ = true;
  return true;
}

std::uint8_t PciTransport::interrupt_line() noexcept { return static_cast<std::uint8_t>(read_register(at_interrupt)); }

std::uint32_t PciTransport::read_legacy(std::uint16_t offset, unsigned bytes) noexcept {
  return access_->read_port(static_cast<std::uint16_t>(ports_ + offset), bytes);
}
void PciTransport::write_legacy(std::uint16_t offset, unsigned bytes, std::uint32_t value) noexcept {
  access_->write_port(static_cast<std::uint16_t>(ports_ + offset), bytes, value);
}

std::uint8_t PciTransport::status() noexcept {
  return modern_ ? common_.read<std::uint8_t>(device_status) : static_cast<std::uint8_t>(read_legacy(legacy_status, 1));
}

void PciTransport::set_status(std::uint8_t status) noexcept {
  if (modern_) {
    common_.write<std::uint8_t>(device_status, status);
  } else {
    write_legacy(legacy_status, 1, status);
  }
  if (status != Status::reset) return;
  constexpr unsigned polls = 100'000;
  for (unsigned i = 0; i < polls && this->status() != Status::reset; ++i) {
  }
}

std::uint64_t PciTransport::device_features() noexcept {
  if (!modern_) return read_legacy(legacy_device_features, 4);
  common_.write<std::uint32_t>(device_feature_select, 1);
  const std::uint64_t high = common_.read<std::uint32_t>(device_feature);
  common_.write<std::uint32_t>(device_feature_select, 0);
  return high << 32 | common_.read<std::uint32_t>(device_feature);
}

void PciTransport::set_driver_features(std::uint64_t features) noexcept {
  if (!modern_) return write_legacy(legacy_driver_features, 4, static_cast<std::uint32_t>(features));
  common_.write<std::uint32_t>(driver_feature_select, 1);
  common_.write<std::uint32_t>(driver_feature, static_cast<std::uint32_t>(features >> 32));
  common_.write<std::uint32_t>(driver_feature_select, 0);
  common_.write<std::uint32_t>(driver_feature, static_cast<std::uint32_t>(features));
}

std::uint16_t PciTransport::queue_limit(std::uint16_t queue) noexcept {
  if (modern_) {
    common_.write<std::uint16_t>(common_queue_select, queue);
    return common_.read<std::uint16_t>(queue_enable) != 0 ? std::uint16_t{0}
                                                          : common_.read<std::uint16_t>(common_queue_size);
  }
  write_legacy(legacy_queue_select, 2, queue);
  if (read_legacy(legacy_queue_address, 4) != 0) return 0;
  return static_cast<std::uint16_t>(read_legacy(legacy_queue_size, 2));
}

bool PciTransport::enable_queue(Doorbell& doorbell, std::uint16_t size, const RingAddresses& ring) noexcept {
  const std::uint16_t vector = messages_ ? std::uint16_t{0} : no_vector;
  if (!modern_) {
    if (ring.descriptors / legacy_page > UINT32_MAX) return false;
    write_legacy(legacy_queue_select, 2, doorbell.queue);
    if (messages_) {
      write_legacy(legacy_config_vector, 2, vector);
      write_legacy(legacy_queue_vector, 2, vector);
      if (read_legacy(legacy_queue_vector, 2) != vector) return false;
    }
    write_legacy(legacy_queue_address, 4, static_cast<std::uint32_t>(ring.descriptors / legacy_page));
    return true;
  }
  common_.write<std::uint16_t>(config_msix_vector, vector);
  common_.write<std::uint16_t>(common_queue_select, doorbell.queue);
  common_.write<std::uint16_t>(common_queue_size, size);
  common_.write<std::uint16_t>(queue_msix_vector, vector);
  if (messages_ && common_.read<std::uint16_t>(queue_msix_vector) != vector) return false;
  common_.write_wide(common_queue_descriptors, ring.descriptors);
  common_.write_wide(queue_driver, ring.available);
  common_.write_wide(queue_device, ring.used);
  // Out of the window the notification goes nowhere (RegisterWindow).
  const std::uint64_t offset = std::uint64_t{common_.read<std::uint16_t>(queue_notify_offset)} * notify_multiplier_;
  if (!within(offset, sizeof(std::uint16_t), notify_.size())) return false;
  doorbell.offset = static_cast<std::uint32_t>(offset);
  common_.write<std::uint16_t>(queue_enable, 1);
  return true;
}

void PciTransport::notify(Doorbell doorbell) noexcept {
  if (!modern_) return write_legacy(legacy_queue_notify, 2, doorbell.queue);
  notify_.write<std::uint16_t>(doorbell.offset, doorbell.queue);
}

std::uint32_t PciTransport::read_configuration(std::uint32_t offset, unsigned bytes) noexcept {
  if (modern_) return device_.read_field(offset, bytes);
  const std::uint32_t header = messages_ ? legacy_header_with_messages : legacy_header;
  return read_legacy(static_cast<std::uint16_t>(header + offset), bytes);
}

std::uint32_t PciTransport::configuration_generation() noexcept {
  return common_.read<std::uint8_t>(generation_byte);  // legacy: 0
}

void PciTransport::acknowledge_interrupt() noexcept {
  if (messages_) return;
  // Reading clears.
  if (modern_) {
    (void)interrupt_.read<std::uint8_t>(0);
  } else {
    (void)read_legacy(legacy_interrupt, 1);
  }
}

}  // namespace mirage::virtio
