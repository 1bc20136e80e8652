// SPDX-License-Identifier: ISC
// What the compiler may call, in test images that have no libc.
#include <cstddef>

extern "C" void* memcpy(void* to, const void* from, std::size_t size) {
  void* begin = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return begin;
}
extern "C" void* memset(void* to, int value, std::size_t size) {
  void* begin = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
  return begin;
}
extern "C" int memcmp(const void* a, const void* b, std::size_t size) {
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  for (std::size_t i = 0; i < size; ++i) {
    if (left[i] != right[i]) {
      return left[i] - right[i];
    }
  }
  return 0;
}
extern "C" int bcmp(const void* a, const void* b, std::size_t size) { return memcmp(a, b, size); }
extern "C" std::size_t strlen(const char* text) {
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  return size;
}
