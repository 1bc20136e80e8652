// SPDX-License-Identifier: ISC
#pragma once

#include <optional>

#include <mirage/target/hvt/tender/block_queue.hpp>
#include <mirage/target/hvt/tender/boot.hpp>
#include <mirage/target/hvt/tender/machine.hpp>
#include <mirage/target/hvt/tender/wait.hpp>
#include <tender/attach.hpp>
#include <tender/elf.hpp>
#include <tender/error.hpp>
#include <tender/memory.hpp>
#include <tender/options.hpp>

namespace mirage::target::hvt {

/// Everything that the guest needs, in place.
struct Guest {
  mirage::tender::Image image;
  mirage::tender::AttachedDevices devices;
  std::optional<mirage::tender::GuestMemory> memory;
  std::optional<Machine> machine;
  std::optional<WaitSet> waits;
  std::optional<BlockQueue> queue;
  Grant grant;
};

/// Loads the image named on the command line, attaches its devices, makes the machine and writes what the guest reads
/// at its start.
mirage::tender::Result<> prepare(const mirage::tender::Options& options, Guest& guest);

}  // namespace mirage::target::hvt
