// SPDX-License-Identifier: ISC
// The least that a program needs to be an hvt image, written from the ABI alone: no runtime, no libc, the tender's page
// tables. For test images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/solo5/test/console.hpp>

namespace probe {

namespace hvt = mirage::target::hvt;
namespace solo5 = mirage::target::solo5;

inline std::uint64_t address(const volatile void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

inline void write_port(std::uint16_t port, std::uint32_t value) {
  asm volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

/// A hypercall with its structure at any address.
inline void call_at(hvt::Hypercall number, std::uint64_t where) {
  write_port(static_cast<std::uint16_t>(hvt::hypercall_port + static_cast<unsigned>(number)),
             static_cast<std::uint32_t>(where));
}
template <class Call>
void call(hvt::Hypercall number, Call& structure) {
  call_at(number, address(&structure));
}

[[noreturn]] inline void exit(int status) {
  hvt::HaltCall halt{0, status, 0};
  for (;;) {
    call(hvt::Hypercall::halt, halt);
  }
}

inline void print(std::string_view text) {
  hvt::PutsCall puts{address(text.data()), text.size()};
  call(hvt::Hypercall::puts, puts);
}

/// What the image does; its result is the exit status.
int run(const hvt::BootInfo& boot, std::string_view command_line);

// What images with a device do.
int run_block(const hvt::BootInfo& boot, std::string_view deed);
int run_net(const hvt::BootInfo& boot, std::string_view deed);

inline const solo5::Extension* extension(const hvt::BootInfo& boot) {
  return solo5::extension_of(const_cast<hvt::BootInfo*>(&boot), hvt::base_boot_info_size,
                             reinterpret_cast<const void*>(boot.manifest));
}

/// The only device.
inline const solo5::ManifestEntry& device(const hvt::BootInfo& boot) {
  return reinterpret_cast<const solo5::ManifestEntry*>(boot.manifest + sizeof(solo5::ManifestHeader))[1];
}

}  // namespace probe
