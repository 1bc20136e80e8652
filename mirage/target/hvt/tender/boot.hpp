// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>

#include <mirage/target/hvt/abi.hpp>
#include <tender/attach.hpp>
#include <tender/elf.hpp>
#include <tender/error.hpp>
#include <tender/memory.hpp>
#include <tender/options.hpp>

namespace mirage::target::hvt {

/// Largest block request that is granted; the base ABI has no bound either, this one is advice.
inline constexpr std::uint64_t block_request_limit = std::uint64_t{1} << 20;

/// What the guest is granted beside the base ABI; nothing when its image does not ask. `queue`: there is one.
struct Grant {
  bool extended = false;
  solo5::Extension extension{};
};
mirage::tender::Result<Grant> negotiate(const mirage::tender::Image& image,
                                        const mirage::tender::AttachedDevices& devices, bool queue = false);

/// Writes boot info, extension if granted, manifest and command line to low memory.
mirage::tender::Result<> write_boot_info(const mirage::tender::GuestMemory& memory, const mirage::tender::Image& image,
                                         const mirage::tender::Options& options, std::uint64_t cycle_frequency,
                                         const Grant& grant);

}  // namespace mirage::target::hvt
