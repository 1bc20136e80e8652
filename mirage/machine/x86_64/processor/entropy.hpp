// SPDX-License-Identifier: ISC
// The processor's random numbers. A library of its own: it works in every ring, while the rest of the machine's puts
// its own mprotect() in place of libc's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mirage::machine {

/// Fills `out` from RDSEED, else RDRAND, with the vendors' retry counts; false when the processor has neither, or it
/// fails for good, or returns a constant (a known fault of some parts).
class HardwareEntropy {
 public:
  HardwareEntropy() noexcept;
  [[nodiscard]] bool available() const noexcept { return seed_ || random_; }
  [[nodiscard]] const char* name() const noexcept { return seed_ ? "rdseed" : random_ ? "rdrand" : "no"; }
  [[nodiscard]] bool fill(std::byte* out, std::size_t size) const noexcept;

 private:
  [[nodiscard]] bool next(std::uint64_t& value) const noexcept;
  bool seed_ = false;
  bool random_ = false;
};

}  // namespace mirage::machine
