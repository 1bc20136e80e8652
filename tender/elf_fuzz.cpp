// SPDX-License-Identifier: ISC
// The image loader on arbitrary files (first byte even) and on a valid one with changes: ten bytes each, where and
// what.
#include <cstdlib>
#include <vector>

#include <tender/elf.hpp>
#include <tender/test_image.hpp>

using namespace mirage::tender;

namespace {

constexpr std::uint64_t start = 0x10000;
constexpr std::uint64_t end = 0x200000;

void load(std::span<const std::byte> bytes) {
  static std::vector<std::byte> memory(end - start);
  const File file = test::file_of(bytes);
  const auto image = read_image(file.get(), mirage::target::solo5::AbiTarget::spt, 2);
  if (!image) {
    if (image.error().text().contains('\n')) std::abort();
    return;
  }
  const auto check = [](void*, const Segment& segment) -> Result<> {
    if (segment.start < 0x100000 || segment.end > end || (segment.write && segment.execute)) std::abort();
    return {};
  };
  (void)load_image(file.get(), *image, GuestMemory{memory.data(), start, end}, check, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto input = std::as_bytes(std::span{data, size});
  if (size == 0 || (data[0] & 1) == 0) {
    load(input);
    return 0;
  }
  test::ImageFile image = test::valid_image();
  const auto bytes = std::as_writable_bytes(std::span{&image, 1});
  for (input = input.subspan(1); input.size() >= 10; input = input.subspan(10)) {
    std::uint16_t at = 0;
    std::memcpy(&at, input.data(), sizeof at);
    std::memcpy(bytes.data() + at % (offsetof(test::ImageFile, text) - 8), input.data() + 2, 8);
  }
  load(bytes);
  return 0;
}
