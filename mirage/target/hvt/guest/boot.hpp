// SPDX-License-Identifier: ISC
// What the tender says about this guest, and the way to call it.
#pragma once

#include <span>
#include <string_view>

#include <mirage/machine/x86_64/clock.hpp>
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/descriptor_tables.hpp>
#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/solo5/boot.hpp>

namespace mirage::target::hvt {

/// The state of the processor and of the platform functions, which have no object to hang it off: one per image.
struct GuestState {
  BootInfo* boot = nullptr;
  solo5::Extension* extension = nullptr;  // nullptr under a stock tender
  machine::Clock clock;
  machine::DescriptorTables tables;
};
extern GuestState guest;

[[nodiscard]] inline bool granted(solo5::Capability capability) noexcept {
  return guest.extension != nullptr && (guest.extension->granted & capability) != 0;
}

[[nodiscard]] inline std::uint64_t address_of(const void* pointer) noexcept {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

/// Calls the tender; `call` is read and written by it. All of the guest's memory is below 4 GiB, at its own address.
template <class Call>
inline void hypercall(Hypercall number, Call& call) noexcept {
  machine::out32(static_cast<std::uint16_t>(hypercall_port + static_cast<std::uint16_t>(number)),
                 static_cast<std::uint32_t>(address_of(&call)));
}

[[nodiscard]] constexpr bool succeeded(std::int32_t result) noexcept {
  return result == static_cast<std::int32_t>(CallResult::ok);
}

[[nodiscard]] inline std::span<const solo5::ManifestEntry> manifest() noexcept {
  return solo5::entries_of(reinterpret_cast<const void*>(guest.boot->manifest));  // NOLINT(performance-no-int-to-ptr)
}

/// The attached device of that name and type, or nullptr.
[[nodiscard]] inline const solo5::ManifestEntry* find_device(std::string_view name, solo5::DeviceType type) noexcept {
  return solo5::find_attached(manifest(), name, type);
}

/// A device's handle in hypercalls.
[[nodiscard]] inline std::uint64_t handle_of(const solo5::ManifestEntry& entry) noexcept {
  return static_cast<std::uint64_t>(&entry - manifest().data());
}

}  // namespace mirage::target::hvt
