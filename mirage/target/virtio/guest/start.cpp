// SPDX-License-Identifier: ISC
// From PVH entry to the runtime: memory map, page tables, descriptor tables, clock, interrupts, ACPI, command line.
#include <algorithm>
#include <cstring>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/runtime/start.hpp>
#include <mirage/target/virtio/guest/state.hpp>

extern "C" [[noreturn, gnu::no_stack_protector]] void mirage_pvh_main(std::uintptr_t start_info);

namespace mirage::target::virtio {

constinit State state;

namespace {

using machine::Access;

/// Memory given away front to back before the runtime gets the rest.
struct Region {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;

  std::span<std::byte> take(std::size_t size) noexcept {
    if (size > end - begin) platform::abort("mirage: too little memory");
    std::span<std::byte> taken{reinterpret_cast<std::byte*>(begin), size};
    begin += size;
    return taken;
  }
  [[nodiscard]] std::span<std::byte> pages() const noexcept {
    const std::uintptr_t first = machine::page_up(begin);
    const std::uintptr_t last = machine::page_down(end);
    if (first >= last) return {};
    return {reinterpret_cast<std::byte*>(first), last - first};
  }
};

/// Usable memory behind the image.
Region memory_behind_image() noexcept {
  const std::uintptr_t begin = machine::image_end();
  const MemoryRange* range = state.start_info.usable_at(begin);
  if (range == nullptr || state.start_info.usable_at(machine::image_begin()) != range) {
    platform::abort("mirage: too little memory for the image");
  }
  return {begin, machine::page_down(range->end)};
}

/// The largest usable range that does not hold the image; without page zero.
Region other_memory() noexcept {
  Region largest;
  for (const MemoryRange& range : state.start_info.memory()) {
    const std::uintptr_t begin = machine::page_up(std::max<std::uint64_t>(range.begin, machine::page_size));
    const std::uintptr_t end = machine::page_down(range.end);
    const bool holds_image = range.begin < machine::image_end() && range.end > machine::image_begin();
    if (range.type != usable_memory || holds_image || begin >= end) continue;
    if (end - begin > largest.end - largest.begin) largest = {begin, end};
  }
  return largest;
}

void set_up_paging(Region& memory, const Region& other) noexcept {
  const std::uintptr_t total = (memory.end - machine::image_begin()) + (other.end - other.begin);
  const auto pool = memory.take(machine::PageTables::pool_size(machine::image_end() - machine::image_begin(), total));
  const auto pool_begin = reinterpret_cast<std::uintptr_t>(pool.data());
  machine::PageTables& tables = state.page_tables.emplace(pool);
  const bool good = tables.map(machine::image_end(), memory.end, Access::read_write) &&
                    tables.map(other.begin, other.end, Access::read_write) && tables.map_image() &&
                    tables.map(pool_begin, pool_begin + pool.size(), Access::read);
  if (!good) platform::abort("mirage: cannot map the memory");
  tables.activate();
}

void set_up_interrupts_and_clock() noexcept {
  machine::mask_legacy_interrupts();
  if (!map_device(machine::LocalApic::window(), machine::page_size)) platform::abort("mirage: no local APIC");
  for (std::size_t i = 0; i < state.acpi.io_apic_count; ++i) {
    const IoApicInfo& info = state.acpi.io_apics[i];
    if (!map_device(info.address, machine::page_size)) continue;
    machine::IoApic& io_apic = state.io_apics[state.io_apic_count++];
    io_apic = machine::IoApic{info.address, info.first_interrupt};
    io_apic.mask_all();
  }
  state.clock.start();
  if (state.clock.source() == machine::Clock::Source::none) platform::abort("mirage: no usable clock");
  state.local_apic.start(state.clock);
}

void read_firmware_tables() noexcept {
  MachineMemory memory;
  state.acpi = read_acpi(memory, state.start_info.rsdp);
  // The MADT tells; without ACPI (microvm,acpi=off) there is one at its usual place.
  if (state.acpi.io_apic_count == 0) state.acpi.io_apics[state.acpi.io_apic_count++] = {0xfec0'0000, 0};
}

/// Copies the command line out of memory that is about to become heap, without the words meant for this file.
const char* copy_command_line(Region& memory) noexcept {
  constexpr std::size_t limit = runtime::command_line_limit;
  if (state.start_info.command_line == 0) return nullptr;
  MachineMemory physical;
  // Page by page: the string may end right before the end of mapped memory.
  std::size_t length = 0;
  for (; length <= limit; ++length) {
    const Bytes c = physical.view(state.start_info.command_line + length, 1);
    if (c.empty() || c[0] == std::byte{0}) break;
  }
  if (length > limit) platform::abort("mirage: the command line is too long");
  const auto copy = memory.take(length + 1);
  const std::string_view line{reinterpret_cast<const char*>(state.start_info.command_line), length};
  auto* text = reinterpret_cast<char*>(copy.data());
  const std::size_t kept = strip_command_line(line, {text, length}, state.acpi.mmio);
  text[kept] = '\0';
  return text;
}

[[noreturn]] void start(std::uintptr_t start_info_address) noexcept {
  machine::enable_vector_units();
  state.serial.start();
  MachineMemory physical;
  const auto info = parse_start_info(physical, start_info_address);
  if (!info) platform::abort("mirage: not started by a PVH loader that passes a memory map");
  state.start_info = *info;
  Region memory = memory_behind_image();
  const Region other = other_memory();
  set_up_paging(memory, other);
  machine::install(state.descriptor_tables);
  state.clock.begin();
  read_firmware_tables();
  const char* command_line = copy_command_line(memory);
  set_up_interrupts_and_clock();
  find_console();
  runtime::start({.heap = memory.pages(),
                  .second_heap = other.pages(),
                  .stack = machine::image_stack(),
                  .command_line = command_line});
}

}  // namespace

}  // namespace mirage::target::virtio

void mirage_pvh_main(std::uintptr_t start_info) { mirage::target::virtio::start(start_info); }
