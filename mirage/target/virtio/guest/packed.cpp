// SPDX-License-Identifier: ISC
// The code in front of a packed image, which packed.ld puts behind the memory that the image within will take.
#include <string_view>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/unpack/image.hpp>

extern "C" {
// Of the image within.
extern std::byte mirage_image_begin[];
extern std::byte mirage_boot_tables[];  // page tables in force and the stack lie from here on
extern std::byte _end[];                // NOLINT: the linker's name
// The image, packed.
extern std::byte mirage_packed_begin[];
extern std::byte mirage_packed_end[];

[[gnu::no_stack_protector]] void mirage_unpack();
}

namespace {

/// There is neither console nor power management yet: the first serial port, and QEMU's isa-debug-exit where there is
/// one.
[[noreturn]] void refuse() noexcept {
  constexpr std::uint16_t serial = 0x3f8;
  constexpr std::uint16_t debug_exit = 0x501;
  constexpr std::uint8_t status = 255;
  for (const char c : std::string_view("mirage: the packed image is damaged\nmirage: exit status 255\n")) {
    mirage::machine::out8(serial, static_cast<std::uint8_t>(c));
  }
  mirage::machine::out8(debug_exit, status);
  mirage::machine::halt();
}

}  // namespace

void mirage_unpack() {
  const auto room = static_cast<std::size_t>(mirage_boot_tables - mirage_image_begin);
  if (!mirage::unpack::restore({mirage_packed_begin, mirage_packed_end}, {mirage_image_begin, _end},
                               reinterpret_cast<std::uintptr_t>(mirage_image_begin), room)) {
    refuse();
  }
}
