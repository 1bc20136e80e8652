// SPDX-License-Identifier: ISC
#include <mirage/machine/x86_64/descriptor_tables.hpp>
#include <mirage/target/virtio/attachment.hpp>
#include <mirage/target/virtio/guest/pci_access.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

namespace {

/// Intel SDM volume 3, section 11.11: message address and data, fixed delivery to one processor.
mirage::virtio::Message wake_message() noexcept {
  return {machine::LocalApic::window() | std::uint64_t{state.local_apic.id() & 0xff} << 12, machine::wake_vector};
}

void route(std::uint32_t interrupt, machine::Trigger trigger) noexcept {
  for (std::size_t i = 0; i < state.io_apic_count; ++i) {
    if (!state.io_apics[i].has(interrupt)) continue;
    state.io_apics[i].route(interrupt, state.local_apic.id(), trigger);
    return;
  }
  state.unrouted_interrupts = true;
}

}  // namespace

bool Attachment::open_at(std::size_t number) noexcept {
  const FoundDevice& found = state.devices.devices()[number];
  if (found.is_pci) {
    if (!pci_.open(pci_ports, found.pci)) return false;
    if (!pci_.use_messages(wake_message())) {
      constexpr std::uint8_t not_connected = 255;
      const std::uint8_t line = pci_.interrupt_line();
      route(line == not_connected ? UINT32_MAX : line, machine::Trigger::level_low);
    }
    transport_ = &pci_;
    return true;
  }
  mmio_ = mirage::virtio::MmioTransport{{found.mmio.address, found.mmio.size}};
  if (mmio_.type() != found.type) return false;
  route(found.mmio.interrupt, machine::Trigger::level_high);
  transport_ = &mmio_;
  return true;
}

std::optional<std::size_t> Attachment::open(DeviceType type, Wakeable* wakeable, std::size_t from) noexcept {
  release();
  const std::span<FoundDevice> devices = state.devices.devices();
  for (std::size_t i = from; i < devices.size(); ++i) {
    if (devices[i].type != type || devices[i].held || !open_at(i)) continue;
    devices[i].held = true;
    devices[i].wakeable = wakeable;
    number_ = i;
    return i;
  }
  return std::nullopt;
}

void Attachment::release() noexcept {
  if (number_ != nothing) {
    FoundDevice& device = state.devices.found()[number_];
    device.held = false;
    device.wakeable = nullptr;
  }
  number_ = nothing;
  transport_ = nullptr;
}

std::string_view Attachment::description() const noexcept {
  if (transport_ == nullptr) return "none";
  if (transport_ == &pci_) return pci_.modern() ? "pci" : "legacy-pci";
  return mmio_.modern() ? "mmio" : "legacy-mmio";
}

}  // namespace mirage::target::virtio
