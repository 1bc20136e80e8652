// SPDX-License-Identifier: ISC
// Whatever the guest sends: no fault, and nothing that libslirp must not see.
#include <cstdint>
#include <cstdlib>
#include <span>

#include <tender/usernet/guard.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mirage;
  usernet::Options options;
  options.host = Ipv4Address::of(10, 0, 2, 2);
  usernet::Guard guard{options};
  const std::span bytes{reinterpret_cast<const std::byte*>(data), size};
  const bool ipv4 = size >= 34 && data[12] == 8 && data[13] == 0;
  if (guard.permits(bytes) && ipv4) {
    const unsigned length = unsigned{data[16]} << 8 | data[17];
    const bool fragment = (data[20] & 0x3f) != 0 || data[21] != 0;
    const bool loopback = data[30] == 127 || data[30] == 0;
    if (data[14] != 0x45 || length + 14 > size || fragment || loopback) {
      std::abort();
    }
  }
  guard.note_sent(bytes);
  return 0;
}
