// SPDX-License-Identifier: ISC
// What firmware and loader leave in memory, good and hostile.
#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/target/virtio/acpi.hpp>
#include <mirage/target/virtio/command_line.hpp>
#include <mirage/target/virtio/start_info.hpp>

using namespace mirage;
using namespace mirage::target::virtio;

namespace {

/// Memory with pieces at chosen addresses; a view must lie within one piece.
class FakeMemory final : public PhysicalMemory {
 public:
  std::map<std::uint64_t, std::vector<std::byte>> pieces;

  Bytes view(std::uint64_t address, std::size_t size) noexcept override {
    auto after = pieces.upper_bound(address);
    if (after == pieces.begin()) return {};
    const auto& [start, bytes] = *--after;
    const std::uint64_t offset = address - start;
    if (offset > bytes.size() || size > bytes.size() - offset) return {};
    return Bytes(bytes).subspan(offset, size);
  }
  MutableBytes make(std::uint64_t address, std::size_t size) {
    pieces[address] = std::vector<std::byte>(size);
    return pieces[address];
  }
};

void set_text(MutableBytes bytes, std::size_t at, std::string_view text) {
  std::memcpy(bytes.data() + at, text.data(), text.size());
}

/// Makes the bytes sum to zero by the one at `at`.
void seal(MutableBytes bytes, std::size_t at) {
  unsigned sum = 0;
  bytes[at] = std::byte{0};
  for (const std::byte b : bytes) sum += std::to_integer<unsigned>(b);
  bytes[at] = static_cast<std::byte>(-sum & 0xff);
}

constexpr std::uint64_t info_address = 0x6000;
constexpr std::uint64_t map_address = 0x7000;

struct Range {
  std::uint64_t base, size;
  std::uint32_t type;
};

FakeMemory start_memory(const std::vector<Range>& ranges, std::uint32_t count) {
  FakeMemory memory;
  const MutableBytes info = memory.make(info_address, 56);
  store_little<std::uint32_t>(info, 0, 0x336ec578);
  store_little<std::uint32_t>(info, 4, 1);
  store_little<std::uint64_t>(info, 24, 0x9000);
  store_little<std::uint64_t>(info, 32, 0xf5a00);
  store_little<std::uint64_t>(info, 40, map_address);
  store_little<std::uint32_t>(info, 48, count);
  const MutableBytes map = memory.make(map_address, 24 * ranges.size());
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    store_little<std::uint64_t>(map, 24 * i, ranges[i].base);
    store_little<std::uint64_t>(map, 24 * i + 8, ranges[i].size);
    store_little<std::uint32_t>(map, 24 * i + 16, ranges[i].type);
  }
  return memory;
}

/// A table with its header; `fill` writes the body.
template <class F>
void make_table(FakeMemory& memory, std::uint64_t address, std::string_view signature, std::size_t size, F fill) {
  const MutableBytes table = memory.make(address, size);
  set_text(table, 0, signature);
  store_little<std::uint32_t>(table, 4, static_cast<std::uint32_t>(size));
  fill(table);
  seal(table, 9);
}

constexpr std::uint64_t rsdp_address = 0xf5a00;

void make_root(FakeMemory& memory, const std::vector<std::uint64_t>& tables) {
  const MutableBytes pointer = memory.make(rsdp_address, 36);
  set_text(pointer, 0, "RSD PTR ");
  store_little<std::uint8_t>(pointer, 15, 2);
  store_little<std::uint64_t>(pointer, 24, 0xa0000);
  seal(pointer.first(20), 8);
  make_table(memory, 0xa0000, "XSDT", 36 + 8 * tables.size(), [&](MutableBytes table) {
    for (std::size_t i = 0; i < tables.size(); ++i) store_little<std::uint64_t>(table, 36 + 8 * i, tables[i]);
  });
}

/// A device as QEMU's microvm writes it: _HID "LNRO0005", _UID, _CRS with Memory32Fixed and Interrupt.
std::vector<std::byte> mmio_aml(std::uint32_t address, std::uint32_t interrupt) {
  std::vector<std::byte> aml(64);
  const MutableBytes bytes(aml);
  set_text(bytes, 0, "_HID\x0dLNRO0005");
  store_little<std::uint8_t>(bytes, 30, 0x86);
  store_little<std::uint16_t>(bytes, 31, 9);
  store_little<std::uint32_t>(bytes, 34, address);
  store_little<std::uint32_t>(bytes, 38, 512);
  store_little<std::uint8_t>(bytes, 42, 0x89);
  store_little<std::uint16_t>(bytes, 43, 6);
  store_little<std::uint8_t>(bytes, 46, 1);
  store_little<std::uint32_t>(bytes, 47, interrupt);
  return aml;
}

}  // namespace

TEST_CASE("start info: a memory map") {
  FakeMemory memory =
      start_memory({{0, 0x9fc00, 1}, {0xf0000, 0x10000, 2}, {0x100000, 0x100000, 1}, {0x5000, 0, 1}}, 4);
  const auto info = parse_start_info(memory, info_address);
  REQUIRE(info);
  CHECK(info->command_line == 0x9000);
  CHECK(info->rsdp == 0xf5a00);
  CHECK(info->memory().size() == 3);
  CHECK(info->usable_at(0x150000)->end == 0x200000);
  CHECK(info->usable_at(0xf8000) == nullptr);
  CHECK(info->usable_at(0x200000) == nullptr);
  CHECK(info->clear_of_memory(0xfee00000, 0xfee01000));
  CHECK_FALSE(info->clear_of_memory(0x1ff000, 0x201000));
}

TEST_CASE("start info: hostile") {
  SUBCASE("nowhere") {
    FakeMemory memory;
    CHECK_FALSE(parse_start_info(memory, info_address));
    CHECK_FALSE(parse_start_info(memory, UINT64_MAX - 3));
  }
  SUBCASE("magic and version") {
    FakeMemory memory = start_memory({{0, 4096, 1}}, 1);
    store_little<std::uint32_t>(memory.pieces[info_address], 4, 0);
    CHECK_FALSE(parse_start_info(memory, info_address));
    store_little<std::uint32_t>(memory.pieces[info_address], 4, 1);
    store_little<std::uint32_t>(memory.pieces[info_address], 0, 1);
    CHECK_FALSE(parse_start_info(memory, info_address));
  }
  SUBCASE("counts beyond the map and beyond reason") {
    for (const std::uint32_t count : {0U, 3U, 257U, 0x10000000U, UINT32_MAX}) {
      FakeMemory memory = start_memory({{0, 4096, 1}, {4096, 4096, 1}}, count);
      CHECK_FALSE(parse_start_info(memory, info_address));
    }
    FakeMemory many = start_memory(std::vector<Range>(65, {0, 4096, 1}), 65);
    CHECK_FALSE(parse_start_info(many, info_address));
  }
  SUBCASE("ranges that wrap are left out") {
    FakeMemory memory = start_memory({{UINT64_MAX, 2, 1}, {4096, 4096, 1}}, 2);
    const auto info = parse_start_info(memory, info_address);
    REQUIRE(info);
    CHECK(info->memory().size() == 1);
  }
}

TEST_CASE("command line: device words are taken out, nothing else changes") {
  const auto strip = [](std::string_view line, MmioDevices& devices) {
    std::string out(line.size(), '#');
    out.resize(strip_command_line(line, out, devices));
    return out;
  };
  MmioDevices devices;
  CHECK(strip("", devices).empty());
  CHECK(strip("--port=80 'a b'  c", devices) == "--port=80 'a b'  c");
  CHECK(strip("--port=80 virtio_mmio.device=512@0xfeb00000:5 virtio_mmio.device=4K@0xfeb00200:6:1 x", devices) ==
        "--port=80 x");
  REQUIRE(devices.count == 2);
  CHECK(devices.items[0].address == 0xfeb00000);
  CHECK(devices.items[0].size == 512);
  CHECK(devices.items[0].interrupt == 5);
  CHECK(devices.items[1].size == 4096);
  CHECK(strip("'virtio_mmio.device=512@1:2'", devices) == "'virtio_mmio.device=512@1:2'");
  CHECK(strip("--a='x virtio_mmio.device=512@1:2'", devices) == "--a='x virtio_mmio.device=512@1:2'");
  CHECK(strip("virtio_mmio.device=rubbish", devices).empty());
  CHECK(devices.count == 2);
  CHECK(strip("x\\", devices) == "x\\");
  CHECK(strip("\"open", devices) == "\"open");
}

TEST_CASE("command line: malformed devices") {
  for (const std::string_view text :
       {"", "512", "512@", "512@0x", "512@0xfeb00000", "512@0xfeb00000:", "512@0xfeb00000:5:", "512@0xfeb00000:5:x",
        "512@0xfeb00000:5:1:2", "0@1:2", "-1@1:2", "512@0x10000000000000000:5", "512@1:4294967296", "4G@1:2", "5T@1:2",
        "18446744073709551616@1:2"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_mmio_device(text));
  }
  MmioDevices devices;
  std::string many;
  for (unsigned i = 0; i < 100; ++i) many += "virtio_mmio.device=512@" + std::to_string(0xfeb00000U + 512 * i) + ":5 ";
  std::string out(many.size(), ' ');
  (void)strip_command_line(many, out, devices);
  CHECK(devices.count == maximum_mmio_devices);
}

TEST_CASE("command line: a device that ACPI describes, too, is one") {
  MmioDevices devices;
  devices.add({0xd0000000, 4096, 5});
  devices.add({0xd0001000, 4096, 6});
  std::string_view line = "virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6";
  std::string out(line.size(), ' ');
  (void)strip_command_line(line, out, devices);
  CHECK(devices.count == 2);
}

TEST_CASE("ACPI: power off, I/O APICs and devices") {
  FakeMemory memory;
  make_root(memory, {0xb0000, 0xb1000});
  make_table(memory, 0xb0000, "FACP", 268, [](MutableBytes table) {
    store_little<std::uint32_t>(table, 40, 0xc0000);
    store_little<std::uint32_t>(table, 64, 0x604);
  });
  make_table(memory, 0xb1000, "APIC", 44 + 8 + 12 + 12, [](MutableBytes table) {
    store_little<std::uint8_t>(table, 45, 8);
    store_little<std::uint8_t>(table, 52, 1);
    store_little<std::uint8_t>(table, 53, 12);
    store_little<std::uint32_t>(table, 56, 0xfec00000);
    store_little<std::uint8_t>(table, 64, 1);
    store_little<std::uint8_t>(table, 65, 12);
    store_little<std::uint32_t>(table, 68, 0xfec10000);
    store_little<std::uint32_t>(table, 72, 24);
  });
  const auto device = mmio_aml(0xfeb00e00, 31);
  make_table(memory, 0xc0000, "DSDT", 36 + 32 + 64, [&](MutableBytes table) {
    set_text(table, 40, "\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06");
    std::memcpy(table.data() + 68, device.data(), device.size());
  });
  // The MADT's first entry (type 0, local APIC) is skipped by its length.
  store_little<std::uint8_t>(memory.pieces[0xb1000], 44, 0);
  seal(memory.pieces[0xb1000], 9);
  const AcpiInfo info = read_acpi(memory, rsdp_address);
  CHECK(info.power_off.control_a == 0x604);
  CHECK(info.power_off.type_a == 5);
  CHECK(info.power_off.type_b == 6);
  REQUIRE(info.io_apic_count == 2);
  CHECK(info.io_apics[1].address == 0xfec10000);
  CHECK(info.io_apics[1].first_interrupt == 24);
  REQUIRE(info.mmio.count == 1);
  CHECK(info.mmio.items[0].address == 0xfeb00e00);
  CHECK(info.mmio.items[0].interrupt == 31);
}

TEST_CASE("ACPI: hardware-reduced machines sleep through a register") {
  FakeMemory memory;
  make_root(memory, {0xb0000});
  make_table(memory, 0xb0000, "FACP", 268, [](MutableBytes table) {
    store_little<std::uint32_t>(table, 112, 1U << 20);
    store_little<std::uint64_t>(table, 248, 0xfea00200);
  });
  const AcpiInfo info = read_acpi(memory, rsdp_address);
  CHECK(info.power_off.control_a == 0);
  CHECK(info.power_off.sleep_control == 0xfea00200);
  CHECK_FALSE(info.power_off.sleep_control_is_port);
}

TEST_CASE("ACPI: hostile tables are skipped") {
  FakeMemory memory;
  make_root(memory, {0xb0000, 0xb1000, 0, UINT64_MAX});
  const auto empty = [&] {
    const AcpiInfo info = read_acpi(memory, rsdp_address);
    return info.power_off.control_a == 0 && info.io_apic_count == 0 && info.mmio.count == 0;
  };
  CHECK(empty());
  CHECK(read_acpi(memory, 0).io_apic_count == 0);
  CHECK(read_acpi(memory, 0x1234).io_apic_count == 0);
  SUBCASE("wrong checksum") {
    make_table(memory, 0xb0000, "FACP", 268, [](MutableBytes table) { store_little<std::uint32_t>(table, 64, 0x604); });
    memory.pieces[0xb0000][100] ^= std::byte{1};
    CHECK(empty());
  }
  SUBCASE("lengths that lie") {
    for (const std::uint32_t length : {0U, 35U, 4096U, UINT32_MAX}) {
      make_table(memory, 0xb0000, "FACP", 268, [](MutableBytes table) { store_little<std::uint32_t>(table, 64, 1); });
      store_little<std::uint32_t>(memory.pieces[0xb0000], 4, length);
      CHECK(empty());
    }
  }
  SUBCASE("a MADT with entries of no length, and cut off") {
    make_table(memory, 0xb1000, "APIC", 56, [](MutableBytes table) { store_little<std::uint8_t>(table, 44, 1); });
    CHECK(empty());
    make_table(memory, 0xb1000, "APIC", 50, [](MutableBytes table) {
      store_little<std::uint8_t>(table, 44, 1);
      store_little<std::uint8_t>(table, 45, 12);
    });
    CHECK(empty());
  }
}

TEST_CASE("ACPI: a DSDT cut off anywhere") {
  std::vector<std::byte> aml(16);
  const auto device = mmio_aml(0xfeb00000, 5);
  set_text(aml, 0, "_S5_\x12\x46\x00\x04\x0a\x05\x0a\x05");
  aml.insert(aml.end(), device.begin(), device.end());
  for (std::size_t size = 0; size <= aml.size(); ++size) {
    AcpiInfo info;
    scan_dsdt(std::vector<std::byte>(aml.begin(), aml.begin() + static_cast<std::ptrdiff_t>(size)), info);
    CHECK(info.mmio.count == (size >= 16 + 51 ? 1 : 0));
  }
}
