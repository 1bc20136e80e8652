// SPDX-License-Identifier: ISC
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/target/solo5/note.hpp>
#include <tender/elf.hpp>
#include <tender/test_image.hpp>

using namespace mirage::tender;
using mirage::target::solo5::AbiTarget;
using test::ImageFile;

namespace {

constexpr std::uint64_t memory_end = 0x200000;

/// Keeps what the loader would protect; changes nothing.
Result<> remember(void* context, const Segment& segment) {
  static_cast<std::vector<Segment>*>(context)->push_back(segment);
  return {};
}

struct Loaded {
  Image image;
  std::span<const std::byte> memory;  // of the latest image
  std::vector<Segment> segments;
};

Result<Loaded> load(std::span<const std::byte> bytes) {
  const File file = test::file_of(bytes);
  const auto image = read_image(file.get(), AbiTarget::spt, 2);
  if (!image) return std::unexpected{image.error()};
  static std::vector<std::byte> storage(memory_end - 0x10000);
  Loaded loaded{*image, storage, {}};
  const GuestMemory memory{storage.data(), 0x10000, memory_end};
  if (const auto done = load_image(file.get(), *image, memory, remember, &loaded.segments); !done) {
    return std::unexpected{done.error()};
  }
  return loaded;
}

Result<Loaded> load(const ImageFile& image) { return load(std::as_bytes(std::span{&image, 1})); }

/// The error that spoiling the valid image gives.
template <class Spoil>
std::string error_after(Spoil spoil) {
  ImageFile image = test::valid_image();
  spoil(image);
  const auto loaded = load(image);
  return loaded ? "accepted" : std::string{loaded.error().text()};
}

#define CHECK_REFUSED(statement, text) \
  CHECK(error_after([](ImageFile& image) { statement; }).find(text) != std::string::npos)

}  // namespace

TEST_CASE("a valid image is loaded") {
  ImageFile file = test::valid_image();
  file.text[0] = std::byte{0xc3};
  const auto loaded = load(file);
  REQUIRE(loaded);
  CHECK(loaded->image.entry == 0x102000);
  CHECK(loaded->image.end == 0x106000);
  CHECK(loaded->image.wanted == 5);
  CHECK(loaded->image.manifest.entries().size() == 3);
  CHECK(loaded->memory[0x102000 - 0x10000] == std::byte{0xc3});
  REQUIRE(loaded->segments.size() == 4);
  CHECK(loaded->segments[2].end == 0x105000);
  CHECK(!loaded->segments[3].read);
}

TEST_CASE("what the loader protects stays closed to the tender, too") {
  const ImageFile bytes = test::valid_image();
  const File file = test::file_of(std::as_bytes(std::span{&bytes, 1}));
  const auto image = read_image(file.get(), AbiTarget::spt, 2);
  auto memory = map_guest_memory(0, memory_end, false);
  REQUIRE(image);
  REQUIRE(memory);
  REQUIRE(load_image(file.get(), *image, *memory, protect_host, &*memory));
  const auto opens = [&](std::uint64_t address, Access access) {
    return memory->window(GuestAddress{address}, 16, access).has_value();
  };
  CHECK(opens(0x100000, Access::read));
  CHECK(!opens(0x100000, Access::write));
  CHECK(opens(0x102000, Access::read));
  CHECK(!opens(0x102ff8, Access::write));
  CHECK(opens(0x103000, Access::read_write));
  CHECK(!opens(0x104ff8, Access::read));
  CHECK(!opens(0x105000, Access::read));
  CHECK(!opens(0x105000, Access::write));
  CHECK(opens(0x106000, Access::read_write));
  ::munmap(memory->host(), memory_end);
}

TEST_CASE("file headers") {
  CHECK_REFUSED(image.header.e_ident[0] = 0, "not an ELF file");
  CHECK_REFUSED(image.header.e_ident[EI_CLASS] = ELFCLASS32, "64-bit");
  CHECK_REFUSED(image.header.e_ident[EI_DATA] = ELFDATA2MSB, "little-endian");
  CHECK_REFUSED(image.header.e_type = ET_DYN, "statically linked");
  CHECK_REFUSED(image.header.e_machine = EM_AARCH64, "another machine");
  CHECK_REFUSED(image.header.e_phnum = 0, "program headers");
  CHECK_REFUSED(image.header.e_phnum = 60000, "program headers");
  CHECK_REFUSED(image.header.e_phentsize = 57, "program headers");
  CHECK_REFUSED(image.header.e_phoff = ~std::uint64_t{0}, "program headers");
  CHECK_REFUSED(image.header.e_phoff = std::uint64_t{1} << 63, "program headers");
  CHECK_REFUSED(image.header.e_phoff = 1 << 20, "truncated");
  CHECK_REFUSED(image.header.e_entry = 0, "entry point");
  CHECK_REFUSED(image.header.e_entry = 0x103000, "entry point");
  CHECK_REFUSED(image.header.e_entry = 0x102040, "entry point");
}

TEST_CASE("segments") {
  CHECK_REFUSED(image.programs[2].p_flags = PF_R | PF_W | PF_X, "writable and executable");
  CHECK_REFUSED(image.programs[0].p_vaddr = 0xff000, "below");
  CHECK_REFUSED(image.programs[0].p_vaddr = 0, "below");
  CHECK_REFUSED(image.programs[1].p_vaddr = 0x100800, "below");  // overlaps the first
  CHECK_REFUSED(image.programs[2].p_vaddr = 0x101000, "below");  // not in order
  CHECK_REFUSED(image.programs[2].p_vaddr = 0x1ff000, "below");  // the guard is not behind it
  CHECK_REFUSED(image.programs[3].p_vaddr = 0x200000, "does not fit");
  CHECK_REFUSED(image.programs[3].p_memsz = 1 << 20, "does not fit");
  CHECK_REFUSED(image.programs[3].p_memsz = ~std::uint64_t{0}, "wraps");
  CHECK_REFUSED(image.programs[3].p_memsz = ~std::uint64_t{0} - 0x105000, "wraps");
  CHECK_REFUSED(image.programs[3].p_memsz = 0, "larger in the file");
  CHECK_REFUSED(image.programs[3].p_align = 0, "power of two");
  CHECK_REFUSED(image.programs[3].p_align = 4097, "power of two");
  CHECK_REFUSED(image.programs[2].p_align = 16, "aligned to pages");
  CHECK_REFUSED(image.programs[3].p_align = std::uint64_t{1} << 63, "below");
  CHECK_REFUSED(image.programs[1].p_offset = 1 << 30, "truncated");
  CHECK_REFUSED(image.programs[1].p_offset = ~std::uint64_t{0}, "beyond any file");
  CHECK_REFUSED(image.programs[2].p_filesz = 5000, "truncated");
  CHECK(error_after([](ImageFile& image) { image.programs[3].p_filesz = 0; }) == "accepted");
  CHECK(error_after([](ImageFile& image) { image.programs[3].p_memsz = 0x200000 - 0x105000; }) == "accepted");
}

TEST_CASE("notes") {
  CHECK_REFUSED(image.programs[4].p_type = PT_NULL, "no Solo5 ABI note");
  CHECK_REFUSED(image.programs[6].p_type = PT_NULL, "no manifest note");
  CHECK_REFUSED(image.abi.target = 1, "(hvt, not spt)");
  CHECK_REFUSED(image.abi.target = 77, "another target");
  CHECK_REFUSED(image.abi.version = 3, "version 3");
  CHECK_REFUSED(image.abi.header.name[0] = 'x', "no Solo5 ABI note");
  CHECK_REFUSED(image.abi.header.descriptor_size = 17, "invalid note");
  CHECK_REFUSED(image.abi.header.descriptor_size = 12, "invalid ABI note");
  CHECK_REFUSED(image.manifest.header.descriptor_size = 0xffffffff, "invalid note");
  CHECK_REFUSED(image.manifest.header.descriptor_size = 3, "invalid manifest");
  CHECK_REFUSED(image.manifest.header.descriptor_size -= 4, "invalid manifest");
  CHECK_REFUSED(image.programs[6].p_offset = ~std::uint64_t{0} - 8, "invalid note");
  CHECK(error_after([](ImageFile& image) { image.programs[5].p_type = PT_NULL; }) == "accepted");
  CHECK(error_after([](ImageFile& image) { image.mirage.version = 9; }) == "accepted");
}

TEST_CASE("manifests") {
  CHECK_REFUSED(image.manifest.manifest.version = 2, "version 2");
  CHECK_REFUSED(image.manifest.manifest.entries = 0, "0 entries");
  CHECK_REFUSED(image.manifest.manifest.entries = 65, "65 entries");
  CHECK_REFUSED(image.manifest.manifest.entries = 4, "do not hold");
  CHECK_REFUSED(image.manifest.entries[0].type = 1, "not the reserved one");
  CHECK_REFUSED(image.manifest.entries[0].name[0] = 'x', "not the reserved one");
  CHECK_REFUSED(image.manifest.entries[1].type = 3, "unknown type 3");
  CHECK_REFUSED(image.manifest.entries[1].type = 1U << 30, "unknown type");
  CHECK_REFUSED(image.manifest.entries[1].name[0] = 0, "no name");
  CHECK_REFUSED(image.manifest.entries[1].attached = 1, "attached");
  CHECK_REFUSED(image.manifest.entries[2].name[67] = 'x', "not terminated");
  CHECK_REFUSED(image.manifest.entries[2] = image.manifest.entries[1], "two devices are named 'service'");
}

TEST_CASE("names from images cannot write to the terminal") {
  const std::string error = error_after([](ImageFile& image) {
    image.manifest.entries[1].name[0] = '\x1b';
    image.manifest.entries[1].name[1] = '\n';
    image.manifest.entries[2] = image.manifest.entries[1];
  });
  CHECK(error.find("'??rvice'") != std::string::npos);
}

TEST_CASE("ten thousand mutations") {
  std::mt19937 generator{1};
  const auto pick = [&](std::size_t bound) { return generator() % bound; };
  const ImageFile image = test::valid_image();
  const auto original = std::as_bytes(std::span{&image, 1});
  for (int round = 0; round < 10'000; ++round) {
    std::vector<std::byte> bytes{original.begin(), original.end()};
    for (std::size_t changes = 1 + pick(4); changes > 0; --changes) {
      const std::uint64_t values[] = {generator(), 0, 0xfff, 0x1000, ~std::uint64_t{0}, std::uint64_t{1} << pick(64)};
      const std::size_t width = std::size_t{1} << pick(4);
      const std::size_t at = pick(offsetof(ImageFile, text) / width) * width;
      std::memcpy(bytes.data() + at, &values[pick(std::size(values))], width);
    }
    if (pick(20) == 0) bytes.resize(pick(bytes.size()));
    const auto loaded = load(bytes);
    if (!loaded) {
      CHECK(!loaded.error().text().empty());
      CHECK(loaded.error().text().find('\n') == std::string_view::npos);
      continue;
    }
    for (const Segment& segment : loaded->segments) {
      CHECK((segment.start >= 0x100000 && segment.end <= memory_end && segment.start < segment.end));
      CHECK(!(segment.write && segment.execute));
    }
  }
}
