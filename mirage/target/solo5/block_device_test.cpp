// SPDX-License-Identifier: ISC
// The guests' block device over a tender that is a piece of memory and refuses what a tender's filter would kill for.
#include <vector>

#include <doctest/doctest.h>

#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/target/solo5/block_device.hpp>

using namespace mirage;
using namespace mirage::target;

namespace {

constexpr std::size_t capacity = 64 << 10;

class FakeTender final : public solo5::BlockDevice {
 public:
  FakeTender(Shard& shard, std::uint16_t sector_size, const solo5::Extension* extension, std::size_t stock_limit)
      : solo5::BlockDevice(shard), sector_size_(sector_size) {
    solo5::ManifestEntry entry{};
    entry.block = {.capacity = capacity, .block_size = sector_size};
    describe(entry, 1, extension, stock_limit);
  }
  std::vector<std::size_t> requests;
  bool broken = false;
  bool legal = true;
  BlockResult punched;

 private:
  bool move(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept override {
    requests.push_back(size);
    legal = legal && size != 0 && size <= geometry().maximum_transfer && size % sector_size_ == 0 &&
            offset % sector_size_ == 0 && offset <= capacity && size <= capacity - offset &&
            reinterpret_cast<std::uintptr_t>(memory) % geometry().alignment == 0 &&
            !(to_device && geometry().read_only);
    if (!legal || broken) return false;
    to_device ? std::memcpy(&disk_[offset], memory, size) : std::memcpy(memory, &disk_[offset], size);
    return true;
  }
  bool flush_host() noexcept override { return !broken; }
  BlockResult punch(std::uint64_t offset, std::uint64_t size) noexcept override {
    legal = legal && geometry().discard && offset <= capacity && size <= capacity - offset && size != 0;
    if (punched) std::fill_n(disk_.begin() + static_cast<std::ptrdiff_t>(offset), size, std::byte{0});
    return punched;
  }
  std::size_t sector_size_;
  std::vector<std::byte> disk_ = std::vector<std::byte>(capacity);
};

solo5::Extension extension_with(std::uint64_t granted) {
  solo5::Extension extension{};
  extension.granted = granted;
  extension.block_request_limit = 8192 + 100;  // a tender may say anything
  extension.flush_devices = extension.discard_devices = 2;
  extension.block_alignment = 512;
  return extension;
}
constexpr std::uint64_t everything =
    solo5::many_blocks | solo5::block_flush | solo5::block_discard | solo5::block_limits;

}  // namespace

TEST_CASE("solo5 block: conforms under stock tenders and ours") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  const solo5::Extension all = extension_with(everything);
  const solo5::Extension old = extension_with(solo5::many_blocks | solo5::block_flush);
  const solo5::Extension nothing = extension_with(0);
  const std::array<const solo5::Extension*, 4> extensions{nullptr, &nothing, &old, &all};
  for (const solo5::Extension* extension : extensions) {
    for (const std::uint16_t sector_size : std::array<std::uint16_t, 2>{512, 4096}) {
      for (const std::size_t stock_limit : {std::size_t{0}, std::size_t{1} << 20}) {
        FakeTender disk{shard, sector_size, extension, stock_limit};
        CHECK(run(shard, check::check_block(shard, disk)) == std::string_view{});
        CHECK(disk.legal);
        const bool flushes = extension != nullptr && extension->granted != 0;
        CHECK((disk.geometry().durability == Durability::flush) == flushes);
        CHECK(disk.geometry().discard == (extension == &all));
      }
    }
  }
}

TEST_CASE("solo5 block: many sectors are few requests, one each under a stock tender") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  alignas(4096) std::array<std::byte, 16384> memory{};
  const solo5::Extension all = extension_with(everything);
  FakeTender ours{shard, 4096, &all, 0};
  CHECK(ours.write(0, memory).await_resume());
  CHECK(ours.requests == std::vector<std::size_t>{8192, 8192});
  FakeTender stock{shard, 4096, nullptr, 0};
  CHECK(stock.write(0, memory).await_resume());
  CHECK(stock.requests == std::vector<std::size_t>{4096, 4096, 4096, 4096});
}

TEST_CASE("solo5 block: read-only, errors, a file system without holes") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  solo5::Extension all = extension_with(everything);
  FakeTender disk{shard, 512, &all, 0};
  disk.punched = Failure{BlockError::unsupported};
  CHECK(disk.discard(0, 1).await_resume().error() == BlockError::unsupported);
  CHECK(run(shard, check::check_block(shard, disk)) == std::string_view{});  // zeroes are written then
  disk.broken = true;
  std::array<std::byte, 512> memory{};
  CHECK(disk.read(0, memory).await_resume().error() == BlockError::io);
  CHECK(disk.flush().await_resume().error() == BlockError::io);
  all.read_only_devices = 2;
  FakeTender fixed{shard, 512, &all, 0};
  CHECK(run(shard, check::check_read_only_block(shard, fixed)) == std::string_view{});
  CHECK(fixed.legal);
}

TEST_CASE("solo5 block: the extension of an older tender is shorter") {
  struct {
    solo5::Extension extension{};
  } boot;
  boot.extension.magic = solo5::extension_magic;
  boot.extension.size = solo5::first_extension_size;
  const std::byte* const begin = reinterpret_cast<const std::byte*>(&boot);
  CHECK(solo5::extension_of(&boot, 0, begin + solo5::first_extension_size) == &boot.extension);
  CHECK(solo5::extension_of(&boot, 0, begin + solo5::first_extension_size - 1) == nullptr);
  boot.extension.size = solo5::first_extension_size - 8;
  CHECK(solo5::extension_of(&boot, 0, begin + sizeof boot) == nullptr);
}
