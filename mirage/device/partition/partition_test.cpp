// SPDX-License-Identifier: ISC
// Partition tables, sound, damaged and hostile, over a ramdisk.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/device/partition/partition.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;

namespace {

constexpr std::uint64_t sectors = 4096;
constexpr std::size_t table_size = 128 * 128;

struct Rig {
  Rig() { REQUIRE(run(shard, disk.start())->has_value()); }
  void put(std::uint64_t sector, Bytes bytes) { REQUIRE(disk.write(sector, bytes).await_resume()); }
  std::array<std::byte, 512> get(std::uint64_t sector) {
    std::array<std::byte, 512> out{};
    REQUIRE(disk.read(sector, out).await_resume());
    return out;
  }
  void flip(std::uint64_t sector, std::size_t bit) {
    auto bytes = get(sector);
    bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    put(sector, bytes);
  }
  /// "first+count" or the error.
  std::string find(std::string_view which) {
    device::Partition partition{shard, disk, which};
    const auto started = run(shard, partition.start());
    REQUIRE(started);
    if (!*started) return std::string{started->error().text()};
    return "sectors " + std::to_string(partition.geometry().sectors);
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Ramdisk disk{shard, sectors};
};

std::array<std::byte, 512> mbr(std::initializer_list<device::MbrEntry> entries) {
  std::array<std::byte, 512> out{};
  std::size_t at = 446;
  for (const device::MbrEntry& entry : entries) {
    out[at + 4] = std::byte{entry.type};
    store_little<std::uint32_t>(out, at + 8, static_cast<std::uint32_t>(entry.extent.first));
    store_little<std::uint32_t>(out, at + 12, static_cast<std::uint32_t>(entry.extent.count));
    at += 16;
  }
  store_little<std::uint16_t>(out, 510, 0xaa55);
  return out;
}

/// A GPT as a partitioner writes it: `data` at 100 to 1099, `log` at 2000 to 2009.
struct Gpt {
  std::vector<std::byte> table = std::vector<std::byte>(table_size);
  std::uint64_t last_usable = sectors - 34;

  Gpt() {
    entry(0, "data", 100, 1099);
    entry(2, "log", 2000, 2009);
  }
  void entry(std::size_t index, std::string_view name, std::uint64_t first, std::uint64_t last) {
    const MutableBytes at = MutableBytes{table}.subspan(index * 128, 128);
    at[0] = std::byte{1};
    store_little<std::uint64_t>(at, 32, first);
    store_little<std::uint64_t>(at, 40, last);
    for (std::size_t i = 0; i < name.size(); ++i) at[56 + 2 * i] = static_cast<std::byte>(name[i]);
  }
  [[nodiscard]] std::array<std::byte, 512> header(std::uint64_t at, std::uint64_t table_at) const {
    std::array<std::byte, 512> out{};
    std::memcpy(out.data(), "EFI PART", 8);
    store_little<std::uint32_t>(out, 8, 0x00010000);
    store_little<std::uint32_t>(out, 12, 92);
    store_little<std::uint64_t>(out, 24, at);
    store_little<std::uint64_t>(out, 40, 34);
    store_little<std::uint64_t>(out, 48, last_usable);
    store_little<std::uint64_t>(out, 72, table_at);
    store_little<std::uint32_t>(out, 80, 128);
    store_little<std::uint32_t>(out, 84, 128);
    store_little<std::uint32_t>(out, 88, wire::crc32(table));
    store_little<std::uint32_t>(out, 16, wire::crc32(Bytes{out}.first(92)));
    return out;
  }
  void write(Rig& rig) const {
    rig.put(0, mbr({{0xee, {1, sectors - 1}}}));
    rig.put(1, header(1, 2));
    rig.put(2, table);
    rig.put(sectors - 33, table);
    rig.put(sectors - 1, header(sectors - 1, sectors - 33));
  }
};

}  // namespace

TEST_CASE("partition: MBR, primary and logical") {
  Rig rig;
  CHECK(rig.find("1") == "partition '1': the disk has no partition table");
  rig.put(0, mbr({{0x83, {10, 90}}, {0x05, {1000, 2000}}, {}, {0x0c, {3000, 1096}}}));
  rig.put(1000, mbr({{0x83, {1, 9}}, {0x05, {100, 100}}}));
  rig.put(1100, mbr({{0x83, {5, 20}}}));
  CHECK(rig.find("1") == "sectors 90");
  CHECK(rig.find("4") == "sectors 1096");
  CHECK(rig.find("5") == "sectors 9");
  CHECK(rig.find("6") == "sectors 20");
  for (const char* absent : {"0", "2", "3", "7", "99", "data", "", "-1"}) {
    CHECK(rig.find(absent) == "partition '" + std::string{absent} + "': there is no such partition");
  }
}

TEST_CASE("partition: a hostile MBR") {
  Rig rig;
  const std::string damaged = "partition '1': the partition table is damaged";
  for (const device::Extent extent :
       {device::Extent{0, 10}, {10, 0}, {10, sectors - 9}, {sectors, 1}, {0xffffffff, 1}, {1, 0xffffffff}}) {
    rig.put(0, mbr({{0x83, extent}}));
    CHECK(rig.find("1") == damaged);
  }
  rig.put(0, mbr({{0x83, {10, 100}}, {0x83, {109, 5}}}));
  CHECK(rig.find("1") == damaged);
  rig.put(0, mbr({{0x05, {1000, 100}}}));
  rig.put(1000, mbr({{0x83, {1, 9}}, {0x05, {0, 100}}}));  // a chain that goes round
  CHECK(rig.find("6") == "partition '6': the partition table is damaged");
  rig.put(1000, mbr({{0x83, {1, 100}}}));  // leaves the extended one
  CHECK(rig.find("5") == "partition '5': the partition table is damaged");
}

TEST_CASE("partition: no two of an MBR share a sector") {
  Rig rig;
  const auto damaged = [&](const std::string& which) {
    return rig.find(which) == "partition '" + which + "': the partition table is damaged";
  };
  rig.put(0, mbr({{0x83, {10, 100}}, {0x83, {200, 100}}, {0x83, {250, 100}}}));
  for (const char* which : {"1", "2", "3"}) CHECK(damaged(which));
  rig.put(0, mbr({{0x05, {1000, 2000}}, {0x83, {10, 100}}}));
  rig.put(1100, mbr({{0x83, {5, 20}}}));
  rig.put(1000, mbr({{0x83, {1, 99}}, {0x05, {100, 100}}}));
  CHECK(rig.find("5") == "sectors 99");
  rig.put(1000, mbr({{0x83, {1, 100}}, {0x05, {100, 100}}}));  // over the next one's table
  CHECK(damaged("5"));
  CHECK(damaged("6"));
  CHECK(rig.find("2") == "sectors 100");
  rig.put(1000, mbr({{0x83, {101, 10}}, {0x05, {100, 100}}}));  // within the next one
  CHECK(damaged("5"));
  CHECK(damaged("6"));
  rig.put(1000, mbr({{}, {0x05, {100, 100}}}));  // one that was deleted
  CHECK(rig.find("6") == "sectors 20");
}

TEST_CASE("partition: GPT by number and by name, a disk of its own") {
  Rig rig;
  Gpt{}.write(rig);
  CHECK(rig.find("1") == "sectors 1000");
  CHECK(rig.find("data") == "sectors 1000");
  CHECK(rig.find("3") == "sectors 10");
  CHECK(rig.find("log") == "sectors 10");
  for (const char* absent : {"2", "129", "dat", "data2", "Data", ""}) {
    CHECK(rig.find(absent) == "partition '" + std::string{absent} + "': there is no such partition");
  }
  const auto before = rig.get(1099);
  device::Partition log{rig.shard, rig.disk, "log"};
  REQUIRE(run(rig.shard, log.start())->has_value());
  CHECK(run(rig.shard, check::check_block(rig.shard, log)) == std::string_view{});
  CHECK(rig.get(2009) != before);  // the last sector was written
  CHECK(rig.get(1999) == before);
  CHECK(rig.get(2010) == before);
  CHECK(rig.find("1") == "sectors 1000");
}

TEST_CASE("partition: every flipped bit of a GPT is seen, and the other copy serves") {
  Rig rig;
  Gpt{}.write(rig);
  for (std::size_t bit = 0; bit < 92 * 8; ++bit) {
    if (bit / 8 >= 32 && bit / 8 < 40) continue;  // the other copy's place: not needed, not trusted
    rig.flip(1, bit);
    CHECK(rig.find("data") == "sectors 1000");
    rig.flip(sectors - 1, bit);
    CHECK(rig.find("data") == "partition 'data': the partition table is damaged");
    rig.flip(1, bit);
    rig.flip(sectors - 1, bit);
  }
  for (std::size_t bit = 0; bit < 512 * 8; bit += 7) {
    rig.flip(2, bit);
    CHECK(rig.find("data") == "sectors 1000");
    rig.flip(sectors - 33, bit);
    CHECK(rig.find("data") == "partition 'data': the partition table is damaged");
    rig.flip(2, bit);
    rig.flip(sectors - 33, bit);
  }
}

namespace {

/// A disk of which sectors cannot be read.
struct Scratched {
  device::Ramdisk& below;
  std::vector<std::uint64_t> bad;
  BlockError error = BlockError::io;
  [[nodiscard]] Shard& shard() noexcept { return below.shard(); }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return below.geometry(); }
  Ready<BlockResult> read(std::uint64_t sector, MutableBytes bytes) {
    for (const std::uint64_t each : bad) {
      if (each >= sector && each < sector + bytes.size() / 512) return Ready<BlockResult>{Failure{error}};
    }
    return below.read(sector, bytes);
  }
  auto write(std::uint64_t sector, Bytes bytes) { return below.write(sector, bytes); }
  auto flush() { return below.flush(); }
};

}  // namespace

TEST_CASE("partition: a GPT that cannot be read is as good as a damaged one") {
  Rig rig;
  Gpt{}.write(rig);
  const auto find = [&](std::vector<std::uint64_t> bad, BlockError error = BlockError::io) {
    Scratched disk{rig.disk, std::move(bad), error};
    device::Partition partition{rig.shard, disk, "data"};
    const auto started = run(rig.shard, partition.start());
    return *started ? "sectors " + std::to_string(partition.geometry().sectors) : std::string{started->error().text()};
  };
  const std::string unreadable = "partition 'data': the partition table cannot be read";
  for (const std::uint64_t sector : {1U, 2U, 33U}) {
    CHECK(find({sector}) == "sectors 1000");
    CHECK(find({sector, sectors - 1}) == unreadable);
    CHECK(find({sector}, BlockError::no_memory) == "partition 'data': out of memory");
  }
  CHECK(find({sectors - 1}) == "sectors 1000");
  CHECK(find({0}) == unreadable);
  // The disk's trouble, not what is wrong with the other copy.
  rig.flip(sectors - 1, 0);
  CHECK(find({1}) == unreadable);
  rig.flip(sectors - 1, 0);
  rig.flip(1, 0);
  CHECK(find({sectors - 1}) == unreadable);
}

TEST_CASE("partition: a GPT whose checksums are right and whose content is not") {
  const std::string damaged = "partition 'data': the partition table is damaged";
  const auto with = [](auto change) {
    Rig rig;
    Gpt gpt;
    change(gpt);
    gpt.write(rig);
    return rig.find("data");
  };
  CHECK(with([](Gpt& gpt) { gpt.entry(0, "data", 33, 100); }) == damaged);
  CHECK(with([](Gpt& gpt) { gpt.entry(0, "data", 100, sectors - 33); }) == damaged);
  CHECK(with([](Gpt& gpt) { gpt.entry(0, "data", 100, 99); }) == damaged);
  CHECK(with([](Gpt& gpt) { gpt.entry(0, "data", 100, ~std::uint64_t{0}); }) == damaged);
  CHECK(with([](Gpt& gpt) { gpt.entry(2, "log", 1099, 1200); }) == damaged);
  CHECK(with([](Gpt& gpt) { gpt.last_usable = sectors; }) == damaged);
  CHECK(with([](Gpt& gpt) { gpt.last_usable = sectors - 1; }) == "sectors 1000");  // only the first copy is apart
  CHECK(with([](Gpt& gpt) { gpt.entry(2, "data", 2000, 2009); }) ==
        "partition 'data': there is no such partition");  // which one?
}
