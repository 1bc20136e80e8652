// SPDX-License-Identifier: ISC
// The guest's memcpy, memmove and memset, under other names, against the host's.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include <doctest/doctest.h>

#define memcpy guest_memcpy
#define memmove guest_memmove
#define memset guest_memset
#include <mirage/runtime/guest/copy.cpp>
#undef memcpy
#undef memmove
#undef memset

namespace {

using Memory = std::array<unsigned char, 256>;

Memory pattern() {
  Memory memory;
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<unsigned char>(i * 7 + 1);
  return memory;
}

}  // namespace

TEST_CASE("guest memmove and memcpy: every size and overlap, nothing beside them") {
  for (std::size_t size = 0; size < 100; ++size) {
    for (std::size_t from = 0; from < 40; ++from) {
      for (std::size_t to = 0; to < 40; ++to) {
        Memory ours = pattern();
        Memory theirs = pattern();
        REQUIRE(guest_memmove(ours.data() + to, ours.data() + from, size) == ours.data() + to);
        std::memmove(theirs.data() + to, theirs.data() + from, size);
        REQUIRE(ours == theirs);
        guest_memcpy(ours.data() + 150, ours.data() + from, size);
        std::memcpy(theirs.data() + 150, theirs.data() + from, size);
        REQUIRE(ours == theirs);
      }
    }
  }
}

TEST_CASE("guest memset: every size, the low byte counts") {
  for (std::size_t size = 0; size < 200; ++size) {
    Memory ours = pattern();
    Memory theirs = pattern();
    REQUIRE(guest_memset(ours.data() + 3, 0x1a5, size) == ours.data() + 3);
    std::memset(theirs.data() + 3, 0x1a5, size);
    REQUIRE(ours == theirs);
  }
}
