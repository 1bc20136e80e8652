// SPDX-License-Identifier: ISC
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

#include <sys/types.h>
#include <unistd.h>

#include <tender/attach.hpp>

namespace mirage::target::hvt {

/// Whether the guest may have several requests in flight on the device: with direct I/O. Through the page cache a
/// request is a copy, or waits for what only a thread could wait for.
[[nodiscard]] inline bool queued(const mirage::tender::AttachedDevice& device) {
  return !device.is_net && device.alignment > 1;
}

/// Moves all of `memory`; false on an error or when the file ends early.
[[nodiscard]] inline bool move_block(int descriptor, std::span<std::byte> memory, std::uint64_t offset, bool write) {
  while (!memory.empty()) {
    const auto position = static_cast<off_t>(offset);
    const ssize_t moved = write ? ::pwrite(descriptor, memory.data(), memory.size(), position)
                                : ::pread(descriptor, memory.data(), memory.size(), position);
    if (moved < 0 && errno == EINTR) {
      continue;
    }
    if (moved <= 0) {
      return false;
    }
    memory = memory.subspan(static_cast<std::size_t>(moved));
    offset += static_cast<std::uint64_t>(moved);
  }
  return true;
}

}  // namespace mirage::target::hvt
