// SPDX-License-Identifier: ISC
// How a test image says what it found, over the two calls that every target has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace probe {

// Each target has its own, in its image.hpp.
[[noreturn]] inline void exit(int status);
inline void print(std::string_view text);

inline void print(std::uint64_t number) {
  char digits[20];
  std::size_t first = sizeof digits;
  do {
    digits[--first] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  print(std::string_view{digits + first, sizeof digits - first});
}

/// Ends the image with status 2 when `condition` does not hold.
inline void expect(bool condition, std::string_view what) {
  if (!condition) {
    print("FAILED: ");
    print(what);
    print("\n");
    exit(2);
  }
}

}  // namespace probe
