// SPDX-License-Identifier: ISC
// The unpacker over any bytes: as a packed image, and as the ELF file in one.
#include <cstdlib>
#include <vector>

#include <mirage/unpack/image.hpp>

using namespace mirage;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span{data, size});
  constexpr std::size_t room = 4096;
  // To the byte, so that the sanitizer sees a write behind it.
  std::vector<std::byte> memory(2 * room);
  (void)unpack::restore(input, memory, 0x100000, room);
  if (size < 15 || size > room) return 0;
  std::vector<std::byte> packed{std::byte{0x02}, std::byte{0x21}, std::byte{0x4c}, std::byte{0x18}};
  std::vector<std::byte> block{std::byte{0xf0}};
  std::size_t rest = size - 15;
  for (; rest >= 255; rest -= 255) block.push_back(std::byte{255});
  block.push_back(static_cast<std::byte>(rest));
  block.insert(block.end(), input.begin(), input.end());
  for (unsigned shift = 0; shift < 32; shift += 8)
    packed.push_back(static_cast<std::byte>(block.size() >> shift & 0xff));
  packed.insert(packed.end(), block.begin(), block.end());
  memory.assign(2 * room, std::byte{0});
  (void)unpack::restore(packed, memory, 0x100000, room);
  const auto length = unpack::decode(packed, memory);
  if (!length || *length != size) std::abort();
  return 0;
}
