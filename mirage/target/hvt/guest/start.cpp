// SPDX-License-Identifier: ISC
// From the entry point to the runtime: own descriptor tables, so that faults are reported, and own page tables, so that
// W^X, the unmapped first pages and the stack's guard hold under any tender.
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/machine/x86_64/paging.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/runtime/start.hpp>
#include <mirage/target/hvt/guest/boot.hpp>

extern "C" {
// Notes. The manifest comes from the configuration.
[[gnu::section(".note.solo5.abi"), gnu::used]] extern const mirage::target::solo5::AbiNote mirage_abi_note =
    mirage::target::solo5::abi_note(mirage::target::solo5::AbiTarget::hvt, mirage::target::hvt::abi_version);
[[gnu::section(".note.mirage"), gnu::used]] extern const mirage::target::solo5::MirageNote mirage_note =
    mirage::target::solo5::mirage_note(mirage::target::solo5::vnet_header | mirage::target::solo5::many_blocks |
                                       mirage::target::solo5::block_flush | mirage::target::solo5::reseed |
                                       mirage::target::solo5::scatter | mirage::target::solo5::segment_udp |
                                       mirage::target::solo5::block_discard | mirage::target::solo5::block_limits |
                                       mirage::target::solo5::block_queue);

[[noreturn, gnu::no_stack_protector]] void mirage_hvt_start(mirage::target::hvt::BootInfo* boot);
}

namespace mirage::target::hvt {

constinit GuestState guest;

namespace {

using machine::Access;
using machine::page_down;
using machine::page_up;

struct Region {
  std::uintptr_t begin;
  std::uintptr_t end;

  [[nodiscard]] std::span<std::byte> bytes() const noexcept {
    if (begin >= end) return {};
    return {reinterpret_cast<std::byte*>(begin), end - begin};  // NOLINT(performance-no-int-to-ptr)
  }
};

/// Low memory: boot info, manifest and command line, then free.
Region low_memory() noexcept { return {page_down(address_of(guest.boot)), image_start}; }

/// Builds and activates the page tables in the memory behind the image, and returns what is left of it. The tables
/// themselves are mapped read-only.
Region map_memory() noexcept {
  const std::uintptr_t memory_end = page_down(guest.boot->memory_size);
  const std::uintptr_t image_end = machine::image_end();
  const std::size_t size = machine::PageTables::pool_size(image_end - image_start, memory_end);
  if (image_end >= memory_end || size >= memory_end - image_end)
    platform::abort("not enough memory: give a larger --mem");
  const Region pool{image_end, image_end + size};
  machine::PageTables tables{pool.bytes()};
  bool good = tables.map(pool.end, memory_end, Access::read_write);
  good = good && tables.map(low_memory().begin, low_memory().end, Access::read_write);
  good = good && tables.map_image() && tables.map(pool.begin, pool.end, Access::read);
  // What the tables did not need goes to the heap. Its pages are mapped one by one already: this takes no table.
  const std::uintptr_t unused = pool.end - tables.tables_left() * machine::page_size;
  good = good && tables.map(unused, pool.end, Access::read_write);
  if (!good) platform::abort("cannot map the image");
  tables.activate();
  return {unused, memory_end};
}

/// Where low memory becomes free: behind boot info, manifest and command line.
std::uintptr_t low_memory_used() noexcept { return page_up(guest.boot->command_line + solo5::command_line_size); }

}  // namespace

}  // namespace mirage::target::hvt

void mirage_hvt_start(mirage::target::hvt::BootInfo* boot) {
  using namespace mirage;
  using namespace mirage::target;
  hvt::guest.boot = boot;
  machine::enable_vector_units();
  machine::install(hvt::guest.tables);
  const hvt::Region heap = hvt::map_memory();
  hvt::guest.extension = solo5::extension_of(boot, hvt::base_boot_info_size,
                                             reinterpret_cast<const void*>(boot->manifest));  // NOLINT
  hvt::guest.clock.start(boot->cycle_frequency, 0);
  // Stock tenders refuse memory that ends where guest memory ends: the last bytes stay unused.
  constexpr std::size_t spare = 16;
  runtime::start({
      .heap = hvt::Region{heap.begin, heap.end - spare}.bytes(),
      .second_heap = hvt::Region{hvt::low_memory_used(), hvt::image_start}.bytes(),
      .stack = machine::image_stack(),
      .command_line = reinterpret_cast<const char*>(boot->command_line),  // NOLINT
  });
}
