// SPDX-License-Identifier: ISC
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/target/hvt/tender/boot.hpp>
#include <mirage/target/hvt/tender/cpu.hpp>

namespace hvt = mirage::target::hvt;
namespace solo5 = mirage::target::solo5;
namespace tender = mirage::tender;

namespace {

struct Memory {
  explicit Memory(std::uint64_t size) : bytes(size), guest{bytes.data(), 0, size} {}
  template <class T>
  T at(std::uint64_t address) const {
    T value;
    std::memcpy(&value, bytes.data() + address, sizeof(value));
    return value;
  }
  std::vector<std::byte> bytes;
  tender::GuestMemory guest;
};

tender::Image image_with_block(std::uint64_t wanted) {
  const auto note = solo5::manifest_note<1>({{solo5::DeviceType::block, "storage"}});
  const auto bytes = std::as_bytes(std::span{&note, 1}).subspan(offsetof(decltype(note), manifest));
  tender::Image image;
  image.manifest =
      *tender::Manifest::parse(bytes.first(sizeof(solo5::ManifestHeader) + 2 * sizeof(solo5::ManifestEntry)));
  image.manifest.entries()[1].descriptor = 77;
  image.manifest.entries()[1].attached = 1;
  image.wanted = wanted;
  image.end = 0x123000;
  return image;
}

tender::AttachedDevices one_disk() {
  tender::AttachedDevices devices;
  devices.storage[0] = {};
  devices.storage[0].index = 1;
  devices.count = 1;
  return devices;
}

}  // namespace

TEST_CASE("hvt boot info: the base ABI for images that do not ask for more") {
  Memory memory{4 << 20};
  const auto image = image_with_block(0);
  char word[] = "a";
  char second[] = "b c";
  std::array<char*, 2> words{word, second};
  tender::Options options;
  options.arguments = words;
  const auto grant = hvt::negotiate(image, one_disk());
  REQUIRE(grant.has_value());
  REQUIRE(hvt::write_boot_info(memory.guest, image, options, 2'000'000'000, *grant));
  const auto boot = memory.at<hvt::BootInfo>(hvt::boot_info_address);
  CHECK(boot.memory_size == 4 << 20);
  CHECK(boot.kernel_end == 0x123000);
  CHECK(boot.cycle_frequency == 2'000'000'000);
  CHECK(boot.manifest == hvt::boot_info_address + 56);
  CHECK(boot.command_line == boot.manifest + 8 + 2 * 104);
  CHECK(memory.at<hvt::RingInfo>(hvt::boot_info_address + 40).net_ring == 0);
  CHECK(std::string{reinterpret_cast<const char*>(memory.bytes.data()) + boot.command_line} == "a b c");
  CHECK(memory.at<solo5::ManifestEntry>(boot.manifest + 8 + 104).data == 0);  // no descriptor of the tender's
}

TEST_CASE("hvt boot info: the extension for images that ask") {
  Memory memory{4 << 20};
  const auto image = image_with_block(~std::uint64_t{0});
  const auto grant = hvt::negotiate(image, one_disk());
  REQUIRE(grant.has_value());
  REQUIRE(hvt::write_boot_info(memory.guest, image, {}, 1, *grant));
  auto boot = memory.at<hvt::ExtendedBootInfo>(hvt::boot_info_address);
  CHECK(boot.extension.magic == solo5::extension_magic);
  CHECK(boot.base.manifest >= hvt::boot_info_address + sizeof(boot));
  CHECK((boot.extension.granted & solo5::block_flush) != 0);
  CHECK((boot.extension.granted & solo5::vnet_header) == 0);  // there is no network
  CHECK((boot.extension.granted & solo5::fast_clock) == 0);
  CHECK(boot.extension.flush_devices == 2);
}

TEST_CASE("hvt: UDP is segmented by the host when every network's host can") {
  const auto granted = [](std::initializer_list<tender::AttachedDevice> networks) {
    tender::AttachedDevices devices;
    for (const auto& network : networks) {
      auto& device = devices.storage[devices.count++] = network;
      device.is_net = true;
      device.index = static_cast<unsigned>(devices.count);
    }
    const auto grant = hvt::negotiate(image_with_block(~std::uint64_t{0}), devices);
    return grant->extension.granted & (solo5::vnet_header | solo5::segment_udp);
  };
  CHECK(granted({}) == 0);
  CHECK(granted({{.vnet_header = true}}) == solo5::vnet_header);
  CHECK(granted({{.vnet_header = true, .segment_udp = true}}) == (solo5::vnet_header | solo5::segment_udp));
  CHECK(granted({{.vnet_header = true, .segment_udp = true}, {.vnet_header = true}}) == solo5::vnet_header);
  CHECK(granted({{.vnet_header = true, .segment_udp = true}, {}}) == (solo5::vnet_header | solo5::segment_udp));
}

TEST_CASE("hvt boot info: a command line that does not fit is refused") {
  Memory memory{4 << 20};
  std::string longest(solo5::command_line_size - 1, 'x');
  std::array<char*, 1> words{longest.data()};
  tender::Options options;
  options.arguments = words;
  CHECK(hvt::write_boot_info(memory.guest, image_with_block(0), options, 1, {}).has_value());
  longest += 'x';
  words[0] = longest.data();
  CHECK_FALSE(hvt::write_boot_info(memory.guest, image_with_block(0), options, 1, {}).has_value());
}

TEST_CASE("hvt page tables: low memory is not writable, the tender's part and what is not there is not mapped") {
  Memory memory{6 << 20};
  hvt::write_cpu_tables(memory.guest);
  const auto entry = [&](std::uint64_t address) {
    std::uint64_t table = 0x2000;
    for (const unsigned shift : {39U, 30U, 21U, 12U}) {
      const auto next = memory.at<std::uint64_t>(table + (address >> shift & 511) * 8);
      if ((next & 1) == 0 || (next & 0x80) != 0 || shift == 12) {
        return next;
      }
      table = next & ~std::uint64_t{0xfff};
    }
    return std::uint64_t{0};
  };
  CHECK(entry(0) == 0);
  CHECK(entry(0x2000) == 0);
  CHECK(entry(0xf000) == 0);
  CHECK(entry(0x10000) == 0x10001);
  CHECK(entry(0xff000) == 0xff001);
  CHECK(entry(0x100000) == 0x100003);
  CHECK(entry(0x200000) == 0x200083);
  CHECK(entry(0x5fffff) == 0x400083);
  CHECK(entry(0x600000) == 0);
  CHECK(entry(std::uint64_t{1} << 32) == 0);
}
