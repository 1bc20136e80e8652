// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>

#include <tender/attach.hpp>
#include <tender/error.hpp>

namespace mirage::target::hvt {

/// The descriptors that the tender goes on using. -1: not there.
struct Confinement {
  int processor = -1;  // KVM's
  int wait_set = -1;
  int block_queue = -1;
  const mirage::tender::AttachedDevices& devices;
  std::uint64_t granted = 0;
  int debugger = -1;        // connection to gdb
  int core_file = -1;       // without a name until it is needed; made after drop_rights()
  int core_directory = -1;  // where it gets one
  /// Guest memory as the tender has it mapped; debugging changes its protection.
  std::uint64_t memory_start = 0;
  std::uint64_t memory_size = 0;
};

/// Closes every other descriptor, drops root and capabilities.
mirage::tender::Result<> drop_rights(const Confinement& confinement);

/// From here on only the system calls that serving the guest needs, with the arguments that it needs.
mirage::tender::Result<> filter_calls(const Confinement& confinement);

}  // namespace mirage::target::hvt
