// SPDX-License-Identifier: ISC
#include <cstring>

#include <mirage/machine/x86_64/processor/cpuid.hpp>
#include <mirage/machine/x86_64/processor/entropy.hpp>

namespace mirage::machine {

HardwareEntropy::HardwareEntropy() noexcept {
  seed_ = cpuid(0).eax >= 7 && (cpuid(7).ebx >> 18 & 1) != 0;
  random_ = (cpuid(1).ecx >> 30 & 1) != 0;
  // A part that answers "success" with a constant is worse than one without: AMD errata after resume give all ones.
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  if (available() && (!next(first) || !next(second) || first == second)) seed_ = random_ = false;
}

bool HardwareEntropy::next(std::uint64_t& value) const noexcept {
  constexpr unsigned seed_attempts = 128;   // RDSEED may run dry for a while
  constexpr unsigned random_attempts = 10;  // Intel's count for RDRAND
  bool good = false;
  for (unsigned i = 0; seed_ && i < seed_attempts; ++i) {
    asm volatile("rdseed %0" : "=r"(value), "=@ccc"(good));
    if (good) return true;
    asm volatile("pause");
  }
  for (unsigned i = 0; random_ && i < random_attempts; ++i) {
    asm volatile("rdrand %0" : "=r"(value), "=@ccc"(good));
    if (good) return true;
  }
  return false;
}

bool HardwareEntropy::fill(std::byte* out, std::size_t size) const noexcept {
  for (std::size_t done = 0; done < size;) {
    std::uint64_t value = 0;
    if (!available() || !next(value)) return false;
    const std::size_t part = size - done < sizeof(value) ? size - done : sizeof(value);
    std::memcpy(out + done, &value, part);
    done += part;
  }
  return true;
}

}  // namespace mirage::machine
