// SPDX-License-Identifier: ISC
#include <array>
#include <cstring>

#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/hvt/tender/cpu.hpp>

namespace mirage::target::hvt {

namespace {

constexpr std::uint64_t gdt_address = 0x1000;
constexpr std::uint64_t level4_address = 0x2000;
constexpr std::uint64_t level3_address = 0x3000;
constexpr std::uint64_t level2_address = 0x4000;  // four tables, one per GiB
constexpr std::uint64_t level1_address = 0x8000;  // the first 2 MiB

constexpr std::uint64_t present = 1U << 0;
constexpr std::uint64_t writable = 1U << 1;
constexpr std::uint64_t large_page = 1U << 7;

constexpr std::uint16_t code_selector = 1 << 3;
constexpr std::uint16_t data_selector = 2 << 3;

// Null; execute-read code, 64 bits; read-write data. Accessed bits set.
constexpr std::array<std::uint64_t, 3> gdt = {0, 0x00af'9b00'0000'ffff, 0x00cf'9300'0000'ffff};

using Table = std::array<std::uint64_t, 512>;

void put(const mirage::tender::GuestMemory& memory, std::uint64_t address, const void* source, std::size_t size) {
  std::memcpy(memory.host() + address, source, size);
}

Table first_pages() {
  Table table{};
  for (std::uint64_t i = boot_info_address / mirage::tender::page_size; i < table.size(); ++i) {
    const std::uint64_t address = i * mirage::tender::page_size;
    table[i] = address | present | (address < image_start ? 0 : writable);
  }
  return table;
}

kvm_segment segment(std::uint16_t selector, std::uint8_t type, bool code) {
  kvm_segment result{};
  result.limit = 0xffffffff;
  result.selector = selector;
  result.type = type;
  result.present = 1;
  result.db = code ? 0 : 1;
  result.s = 1;
  result.l = code ? 1 : 0;
  result.g = 1;
  return result;
}

}  // namespace

void write_cpu_tables(const mirage::tender::GuestMemory& memory) {
  put(memory, gdt_address, gdt.data(), sizeof(gdt));
  Table table{};
  table[0] = level3_address | present | writable;
  put(memory, level4_address, table.data(), sizeof(table));
  for (std::uint64_t gib = 0; gib < 4; ++gib) {
    table[gib] = (level2_address + gib * mirage::tender::page_size) | present | writable;
  }
  put(memory, level3_address, table.data(), sizeof(table));
  for (std::uint64_t gib = 0; gib < 4; ++gib) {
    for (std::uint64_t i = 0; i < table.size(); ++i) {
      const std::uint64_t address = (gib * table.size() + i) * memory_step;
      table[i] = address < memory.end() ? address | present | writable | large_page : 0;
    }
    if (gib == 0) {
      table[0] = level1_address | present | writable;
    }
    put(memory, level2_address + gib * mirage::tender::page_size, table.data(), sizeof(table));
  }
  table = first_pages();
  put(memory, level1_address, table.data(), sizeof(table));
}

kvm_sregs initial_system_registers() {
  kvm_sregs registers{};
  registers.cr0 = (1U << 0) | (1U << 5) | (1U << 16) | (1U << 31);  // PE, NE, WP, PG
  registers.cr3 = level4_address;
  registers.cr4 = (1U << 5) | (1U << 9) | (1U << 10);  // PAE, OSFXSR, OSXMMEXCPT
  registers.efer = (1U << 8) | (1U << 10);             // LME, LMA
  registers.cs = segment(code_selector, 11, true);
  registers.ds = registers.es = registers.fs = registers.gs = registers.ss = segment(data_selector, 3, false);
  registers.tr.type = 11;  // a busy 64-bit TSS, which entering 64-bit mode requires
  registers.tr.present = 1;
  registers.ldt.unusable = 1;
  registers.gdt = {.base = gdt_address, .limit = sizeof(gdt) - 1, .padding = {}};
  return registers;
}

}  // namespace mirage::target::hvt
