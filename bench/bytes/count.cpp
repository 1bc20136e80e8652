// SPDX-License-Identifier: ISC
#include <cstddef>
#include <cstring>

#include <bench/bytes/count.hpp>

namespace {

// Volatile: the compiler knows that memcpy(3) reads and writes neither.
volatile bool counting = false;
volatile std::uint64_t copied = 0;

}  // namespace

// The linker sends every call here (--wrap).
extern "C" {
void* __real_memcpy(void* to, const void* from, std::size_t size);   // NOLINT: the linker's names
void* __real_memmove(void* to, const void* from, std::size_t size);  // NOLINT

void* __wrap_memcpy(void* to, const void* from, std::size_t size) {  // NOLINT
  if (counting) copied = copied + size;
  return __real_memcpy(to, from, size);
}

void* __wrap_memmove(void* to, const void* from, std::size_t size) {  // NOLINT
  if (counting) copied = copied + size;
  return __real_memmove(to, from, size);
}
}

namespace bench {

Counting::Counting() noexcept { counting = true; }
Counting::~Counting() { counting = false; }
Pause::Pause() noexcept : before_(counting) { counting = false; }
Pause::~Pause() { counting = before_; }

std::uint64_t copied_bytes() noexcept { return copied; }

bool can_count() noexcept {
  volatile std::size_t size = 100;
  char from[128] = {};
  char to[128];
  const std::uint64_t before = copied;
  {
    const Counting on;
    std::memcpy(to, from, size);
  }
  asm volatile("" : : "m"(to));
  return copied == before + 100;
}

}  // namespace bench
