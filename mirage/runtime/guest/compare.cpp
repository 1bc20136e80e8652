// SPDX-License-Identifier: ISC
// memcmp by words: musl's goes byte by byte, which costs 1 us per 4 KiB.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

std::uint64_t word_at(const unsigned char* bytes) noexcept {
  std::uint64_t word = 0;
  __builtin_memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

extern "C" {

[[clang::no_builtin]] int memcmp(const void* left, const void* right, std::size_t size) {
  static_assert(std::endian::native == std::endian::little);
  const auto* a = static_cast<const unsigned char*>(left);
  const auto* b = static_cast<const unsigned char*>(right);
  for (; size >= sizeof(std::uint64_t); size -= sizeof(std::uint64_t)) {
    const std::uint64_t x = word_at(a);
    const std::uint64_t y = word_at(b);
    if (x != y) return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
    a += sizeof(std::uint64_t);
    b += sizeof(std::uint64_t);
  }
  for (; size > 0; --size, ++a, ++b) {
    if (*a != *b) return *a - *b;
  }
  return 0;
}

[[clang::no_builtin]] int bcmp(const void* left, const void* right, std::size_t size) {
  return memcmp(left, right, size);
}
}
