// SPDX-License-Identifier: ISC
// The digest of the services image, for the Python side of the tests.
#include <stddef.h>
#include <stdint.h>

uint64_t fnv1a(const unsigned char* bytes, size_t size) {
  uint64_t value = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; ++i) value = (value ^ bytes[i]) * 0x100000001b3;
  return value;
}
