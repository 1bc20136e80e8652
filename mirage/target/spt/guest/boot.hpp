// SPDX-License-Identifier: ISC
// What the tender says about this guest. It stands at a fixed address, so no global has to remember it.
#pragma once

#include <span>
#include <string_view>

#include <mirage/target/solo5/boot.hpp>
#include <mirage/target/spt/abi.hpp>

namespace mirage::target::spt {

[[nodiscard]] inline BootInfo& boot_info() noexcept {
  return *reinterpret_cast<BootInfo*>(boot_info_address);  // NOLINT(performance-no-int-to-ptr)
}

/// What our tender grants; nullptr under a stock one.
[[nodiscard]] inline solo5::Extension* extension() noexcept {
  return solo5::extension_of(&boot_info(), sizeof(BootInfo), boot_info().manifest);
}

[[nodiscard]] inline bool granted(solo5::Capability capability) noexcept {
  const solo5::Extension* known = extension();
  return known != nullptr && (known->granted & capability) != 0;
}

[[nodiscard]] inline std::span<const solo5::ManifestEntry> manifest() noexcept {
  return solo5::entries_of(boot_info().manifest);
}

/// The attached device of that name and type, or nullptr.
[[nodiscard]] inline const solo5::ManifestEntry* find_device(std::string_view name, solo5::DeviceType type) noexcept {
  return solo5::find_attached(manifest(), name, type);
}

}  // namespace mirage::target::spt
