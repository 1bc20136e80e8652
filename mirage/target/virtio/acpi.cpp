// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <string_view>

#include <mirage/base/checked.hpp>
#include <mirage/target/virtio/acpi.hpp>

namespace mirage::target::virtio {

namespace {

constexpr std::size_t header_size = 36;
constexpr std::size_t maximum_table = std::size_t{1} << 20;
constexpr std::size_t maximum_tables = 64;

bool sums_to_zero(Bytes bytes) noexcept {
  unsigned sum = 0;
  for (const std::byte b : bytes) sum += std::to_integer<unsigned>(b);
  return (sum & 0xff) == 0;
}

bool has_text(Bytes bytes, std::size_t at, std::string_view text) noexcept {
  return bytes.size() >= at && bytes.size() - at >= text.size() && as_text(bytes.subspan(at, text.size())) == text;
}

/// Little-endian, the host's order. Loads past the end of a short (older) table read as 0.
std::uint64_t load(Bytes table, std::size_t at, std::size_t size) noexcept {
  std::uint64_t value = 0;
  if (within(at, size, table.size())) std::memcpy(&value, table.data() + at, size);
  return value;
}
template <class T>
T field(Bytes table, std::size_t at) noexcept {
  return static_cast<T>(load(table, at, sizeof(T)));
}

/// A whole table with its header, or nothing.
Bytes read_table(PhysicalMemory& memory, std::uint64_t address) noexcept {
  const Bytes header = memory.view(address, header_size);
  if (header.empty()) return {};
  const std::size_t length = field<std::uint32_t>(header, 4);
  if (length < header_size || length > maximum_table) return {};
  const Bytes table = memory.view(address, length);
  return !table.empty() && sums_to_zero(table) ? table : Bytes{};
}

/// Generic address structure: the address when it is in the wanted space (0 memory, 1 ports).
std::uint64_t generic_address(Bytes table, std::size_t at, std::uint8_t& space) noexcept {
  space = field<std::uint8_t>(table, at);
  return field<std::uint64_t>(table, at + 4);
}

void read_fadt(PhysicalMemory& memory, Bytes fadt, AcpiInfo& info) noexcept {
  constexpr std::size_t at_dsdt = 40;
  constexpr std::size_t at_control_a = 64;
  constexpr std::size_t at_control_b = 68;
  constexpr std::size_t at_flags = 112;
  constexpr std::size_t at_dsdt64 = 140;
  constexpr std::size_t at_sleep_control = 244;
  constexpr std::uint32_t hardware_reduced = 1U << 20;
  PowerOff& power = info.power_off;
  if ((field<std::uint32_t>(fadt, at_flags) & hardware_reduced) != 0) {
    std::uint8_t space = 0;
    power.sleep_control = generic_address(fadt, at_sleep_control, space);
    power.sleep_control_is_port = space == 1;
    if (space > 1) power.sleep_control = 0;
  } else {
    power.control_a = static_cast<std::uint16_t>(field<std::uint32_t>(fadt, at_control_a));
    power.control_b = static_cast<std::uint16_t>(field<std::uint32_t>(fadt, at_control_b));
  }
  const auto wide = field<std::uint64_t>(fadt, at_dsdt64);
  const Bytes dsdt = read_table(memory, wide != 0 ? wide : field<std::uint32_t>(fadt, at_dsdt));
  if (has_text(dsdt, 0, "DSDT")) scan_dsdt(dsdt.subspan(header_size), info);
}

void read_madt(Bytes madt, AcpiInfo& info) noexcept {
  constexpr std::size_t at_entries = 44;
  constexpr std::uint8_t io_apic_entry = 1;
  constexpr std::size_t io_apic_entry_size = 12;
  for (std::size_t at = at_entries; at + 2 <= madt.size();) {
    const auto type = field<std::uint8_t>(madt, at);
    const std::size_t length = field<std::uint8_t>(madt, at + 1);
    if (length < 2 || length > madt.size() - at) return;
    if (type == io_apic_entry && length >= io_apic_entry_size && info.io_apic_count < AcpiInfo::maximum_io_apics) {
      info.io_apics[info.io_apic_count++] = {field<std::uint32_t>(madt, at + 4), field<std::uint32_t>(madt, at + 8)};
    }
    at += length;
  }
}

/// AML integer (ZeroOp, OneOp, BytePrefix), removed from the front; false for anything else.
bool take_small_integer(Bytes& aml, std::uint8_t& value) noexcept {
  if (aml.empty()) return false;
  const auto opcode = std::to_integer<std::uint8_t>(aml[0]);
  const std::size_t size = opcode == 0x0a ? 2 : 1;
  if ((opcode > 1 && opcode != 0x0a) || aml.size() < size) return false;
  value = size == 2 ? std::to_integer<std::uint8_t>(aml[1]) : opcode;
  aml = aml.subspan(size);
  return true;
}

/// Name (_S5, Package {a, b, ...}): NameOp, "_S5_", PackageOp, length, count, elements.
void scan_sleep_type(Bytes after_name, PowerOff& power) noexcept {
  constexpr std::byte package{0x12};
  if (after_name.size() < 4 || after_name[0] != package) return;
  // The top two bits of the first length byte tell how many more follow.
  const std::size_t length_bytes = 1 + (std::to_integer<std::size_t>(after_name[1]) >> 6);
  if (after_name.size() < 2 + length_bytes) return;
  Bytes elements = after_name.subspan(2 + length_bytes);
  std::uint8_t a = 0;
  std::uint8_t b = 0;
  if (!take_small_integer(elements, a)) return;
  if (!take_small_integer(elements, b)) b = a;
  power.type_a = a & 7;
  power.type_b = b & 7;
}

/// Finds the first Memory32Fixed and Extended Interrupt descriptors behind a device's _HID.
void scan_mmio_device(Bytes after_hid, MmioDevices& devices) noexcept {
  constexpr std::size_t window = 256;  // _HID, _UID, _CCA and _CRS of one device take less
  constexpr std::size_t memory_size = 12;
  constexpr std::size_t interrupt_size = 9;
  const Bytes aml = after_hid.first(std::min(window, after_hid.size()));
  MmioDevice device;
  for (std::size_t at = 0; at + interrupt_size <= aml.size(); ++at) {
    const auto tag = field<std::uint8_t>(aml, at);
    const auto length = field<std::uint16_t>(aml, at + 1);
    if (device.size == 0 && tag == 0x86 && length == 9 && at + memory_size <= aml.size()) {
      device.address = field<std::uint32_t>(aml, at + 4);
      device.size = field<std::uint32_t>(aml, at + 8);
      at += memory_size - 1;
    } else if (device.size != 0 && tag == 0x89 && length >= 6) {
      device.interrupt = field<std::uint32_t>(aml, at + 5);
      devices.add(device);
      return;
    }
  }
}

void read_root(PhysicalMemory& memory, Bytes root, std::size_t entry_size, AcpiInfo& info) noexcept {
  const std::size_t count = std::min((root.size() - header_size) / entry_size, maximum_tables);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = header_size + i * entry_size;
    const Bytes table = read_table(
        memory, entry_size == 8 ? field<std::uint64_t>(root, at) : std::uint64_t{field<std::uint32_t>(root, at)});
    if (has_text(table, 0, "FACP")) read_fadt(memory, table, info);
    if (has_text(table, 0, "APIC")) read_madt(table, info);
  }
}

}  // namespace

void scan_dsdt(Bytes dsdt, AcpiInfo& info) noexcept {
  constexpr std::string_view sleep_name = "_S5_";
  constexpr std::string_view mmio_name = "LNRO0005";
  const std::string_view text = as_text(dsdt);
  for (std::size_t at = text.find(sleep_name); at != text.npos; at = text.find(sleep_name, at + 1)) {
    scan_sleep_type(dsdt.subspan(at + sleep_name.size()), info.power_off);
  }
  for (std::size_t at = text.find(mmio_name); at != text.npos; at = text.find(mmio_name, at + 1)) {
    scan_mmio_device(dsdt.subspan(at + mmio_name.size()), info.mmio);
  }
}

AcpiInfo read_acpi(PhysicalMemory& memory, std::uint64_t rsdp) noexcept {
  AcpiInfo info;
  constexpr std::size_t old_size = 20;
  constexpr std::size_t new_size = 36;
  const Bytes old_pointer = rsdp == 0 ? Bytes{} : memory.view(rsdp, old_size);
  if (!has_text(old_pointer, 0, "RSD PTR ") || !sums_to_zero(old_pointer)) return info;
  const std::uint32_t rsdt = field<std::uint32_t>(old_pointer, 16);
  std::uint64_t xsdt = 0;
  if (field<std::uint8_t>(old_pointer, 15) >= 2) {
    const Bytes pointer = memory.view(rsdp, new_size);
    if (!pointer.empty()) xsdt = field<std::uint64_t>(pointer, 24);
  }
  const Bytes root = read_table(memory, xsdt != 0 ? xsdt : rsdt);
  if (!root.empty()) read_root(memory, root, xsdt != 0 ? 8 : 4, info);
  return info;
}

}  // namespace mirage::target::virtio
