// SPDX-License-Identifier: ISC
// Reading what firmware left in memory, through one checked way in: parsers get spans, never addresses.
#pragma once

#include <cstdint>

#include <mirage/base/bytes.hpp>

namespace mirage::target::virtio {

class PhysicalMemory {
 public:
  /// The bytes at [address, address + size), or an empty span when that is no readable memory.
  [[nodiscard]] virtual Bytes view(std::uint64_t address, std::size_t size) noexcept = 0;

 protected:
  ~PhysicalMemory() = default;
};

}  // namespace mirage::target::virtio
