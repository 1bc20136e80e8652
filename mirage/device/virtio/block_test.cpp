// SPDX-License-Identifier: ISC
#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/async/task.hpp>
#include <mirage/device/virtio/block_rig_test.hpp>
#include <mirage/device/virtio/console.hpp>
#include <mirage/device/virtio/entropy.hpp>
#include <mirage/device/virtio/fake_device_test.hpp>
#include <mirage/module/check/block.hpp>

using namespace mirage;
using namespace mirage::virtio;
using virtio::test::FakeChain;
using virtio::test::FakeDevice;
using namespace virtio::test::block;

TEST_CASE("block: geometry, checked") {
  SUBCASE("plain") {
    Rig rig;
    REQUIRE(rig.start() == BlockDevice::Error::none);
    CHECK(rig.block.geometry().sector_size == 512);
    CHECK(rig.block.geometry().sectors == 1000);
    CHECK(rig.block.geometry().durability == Durability::none);
  }
  SUBCASE("block size, read only, flush") {
    Rig rig(bit(5) | bit(6) | bit(9));
    store_little<std::uint32_t>(rig.device.configuration, 20, 4096);
    REQUIRE(rig.start() == BlockDevice::Error::none);
    CHECK(rig.block.geometry().sector_size == 4096);
    CHECK(rig.block.geometry().sectors == 125);
    CHECK(rig.block.geometry().read_only);
    CHECK(rig.block.geometry().durability == Durability::flush);
  }
  SUBCASE("nonsense") {
    for (const std::uint32_t size : {0U, 1U, 511U, 513U, 131072U, UINT32_MAX}) {
      Rig rig(bit(6));
      store_little<std::uint32_t>(rig.device.configuration, 20, size);
      CHECK(rig.start() == BlockDevice::Error::bad_geometry);
    }
    Rig rig;
    store_little<std::uint64_t>(rig.device.configuration, 0, UINT64_MAX);
    CHECK(rig.start() == BlockDevice::Error::bad_geometry);
    Rig segments(bit(1));
    store_little<std::uint32_t>(segments.device.configuration, 8, 511);
    CHECK(segments.start() == BlockDevice::Error::bad_geometry);
  }
}

TEST_CASE("block: a capacity that changes while it is read is read again, and fields are read as wide as they are") {
  Rig rig(bit(6) | bit(12));
  store_little<std::uint64_t>(rig.device.configuration, 0, 0xffff'ffff);
  store_little<std::uint32_t>(rig.device.configuration, 20, 512);
  store_little<std::uint16_t>(rig.device.configuration, 34, 1);
  unsigned reads = 0;
  rig.device.on_read = [&](std::uint32_t offset, unsigned bytes) {
    CHECK(bytes == (offset == 34 ? 2 : 4));
    if (++reads != 1) return;
    store_little<std::uint64_t>(rig.device.configuration, 0, 0x1'0000'0000);
    ++rig.device.generation;
  };
  REQUIRE(rig.start() == BlockDevice::Error::none);
  CHECK(rig.block.geometry().sectors == 0x1'0000'0000);
}

TEST_CASE("block: a device that needs a reset fails what it has not answered, and says so once") {
  Rig rig;
  REQUIRE(rig.start() == BlockDevice::Error::none);
  std::array<std::byte, 512> bytes{};
  Outcome outcome;
  REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 1, bytes, outcome)));
  rig.turns();
  CHECK_FALSE(rig.block.needs_reset());
  CHECK_FALSE(outcome);
  const unsigned resets = rig.device.resets;
  rig.device.state |= Status::needs_reset;
  CHECK(rig.block.needs_reset());
  CHECK_FALSE(rig.block.needs_reset());
  CHECK(rig.device.resets == resets + 1);
  CHECK(rig.block.statistics().needs_reset == 1);
  rig.turns();
  REQUIRE(outcome);
  CHECK(outcome->error() == BlockError::io);
  outcome.reset();
  REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, true, 1, bytes, outcome)));
  rig.turns();
  REQUIRE(outcome);
  CHECK(outcome->error() == BlockError::io);
}

TEST_CASE("block: a configuration that never stands still is not read for ever") {
  Rig rig;
  rig.device.on_read = [&](std::uint32_t, unsigned) { ++rig.device.generation; };
  CHECK(rig.start() == BlockDevice::Error::none);
}

TEST_CASE("block: writes, reads and flushes") {
  Rig rig(bit(9));
  REQUIRE(rig.start() == BlockDevice::Error::none);
  std::array<std::byte, 1024> out{};
  std::array<std::byte, 1024> in{};
  out.fill(std::byte{7});
  Outcome written;
  REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, true, 10, out, written)));
  rig.turns();
  CHECK_FALSE(written);
  rig.serve();
  rig.turns();
  REQUIRE(written);
  CHECK(written->has_value());
  CHECK(rig.disk[5120] == std::byte{7});
  Outcome read;
  REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 10, in, read)));
  Outcome flushed;
  REQUIRE(rig.scope.spawn(flush(rig, rig.shard, flushed)));
  rig.turns();
  rig.serve(0, true);
  rig.turns();
  CHECK(read->has_value());
  CHECK(flushed->has_value());
  CHECK(in == out);
  CHECK(rig.types == std::vector<std::uint32_t>{1, 4, 0});
}

TEST_CASE("block: ranges and kinds that cannot be are refused before the device sees them") {
  Rig rig(bit(5));
  REQUIRE(rig.start() == BlockDevice::Error::none);
  std::array<std::byte, 1024> memory{};
  const auto result = [&](bool write, std::uint64_t sector, std::size_t size) {
    Outcome outcome;
    REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, write, sector, std::span(memory).first(size), outcome)));
    rig.turns();
    return outcome ? *outcome : Result<void, BlockError>{};
  };
  CHECK(result(false, 999, 1024).error() == BlockError::out_of_range);
  CHECK(result(false, UINT64_MAX, 512).error() == BlockError::out_of_range);
  CHECK(result(false, 0, 511).error() == BlockError::unaligned);
  CHECK(result(true, 0, 512).error() == BlockError::read_only);
  CHECK(result(false, 0, 0).has_value());
  Outcome flushed;
  REQUIRE(rig.scope.spawn(flush(rig, rig.shard, flushed)));
  rig.turns();
  CHECK(flushed->error() == BlockError::unsupported);
  FakeChain chain;
  CHECK_FALSE(rig.device.pop(0, chain));
}

namespace {

/// The driver as a module, as the target wraps it.
struct Disk {
  Rig& rig;
  [[nodiscard]] Shard& shard() const noexcept { return rig.shard; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return rig.block.geometry(); }
  BlockOperation read(std::uint64_t sector, MutableBytes bytes) const noexcept { return rig.block.read(sector, bytes); }
  BlockOperation write(std::uint64_t sector, Bytes bytes) const noexcept { return rig.block.write(sector, bytes); }
  BlockOperation read_scatter(std::uint64_t sector, MutableBlockPieces pieces) const noexcept {
    return rig.block.read_scatter(sector, pieces);
  }
  BlockOperation write_gather(std::uint64_t sector, BlockPieces pieces) const noexcept {
    return rig.block.write_gather(sector, pieces);
  }
  BlockOperation discard(std::uint64_t sector, std::uint64_t count) const noexcept {
    return rig.block.discard(sector, count);
  }
  BlockOperation write_zeroes(std::uint64_t sector, std::uint64_t count) const noexcept {
    return rig.block.write_zeroes(sector, count);
  }
  BlockOperation flush() const noexcept { return rig.block.flush_writes(); }
};

void set_ranges(Rig& rig, std::uint32_t sectors) {
  store_little<std::uint32_t>(rig.device.configuration, 36, sectors);
  store_little<std::uint32_t>(rig.device.configuration, 48, sectors);
}

}  // namespace

TEST_CASE("block: conforms, whatever the device has") {
  constexpr std::uint64_t ranges = bit(13) | bit(14);
  for (const std::uint64_t features : {std::uint64_t{0}, bit(9), bit(9) | ranges, bit(9) | ranges | Feature::indirect,
                                       bit(1) | bit(2) | bit(6) | ranges | Feature::indirect}) {
    for (const std::uint16_t ring : std::array<std::uint16_t, 3>{4, 8, 256}) {
      Rig rig{features};
      rig.device.rings[0].limit = ring;
      store_little<std::uint32_t>(rig.device.configuration, 8, 4096);   // bytes of a segment
      store_little<std::uint32_t>(rig.device.configuration, 12, 2);     // segments
      store_little<std::uint32_t>(rig.device.configuration, 20, 1024);  // block size
      set_ranges(rig, 3);
      rig.device.on_notify = [&](std::uint16_t) { rig.serve(0, true); };
      REQUIRE(rig.start() == BlockDevice::Error::none);
      CHECK(rig.block.geometry().discard == ((features & ranges) != 0));
      Disk disk{rig};
      CHECK(run(rig.shard, check::check_block(rig.shard, disk)) == std::string_view{});
    }
  }
  Rig rig{bit(5)};
  rig.device.on_notify = [&](std::uint16_t) { rig.serve(); };
  REQUIRE(rig.start() == BlockDevice::Error::none);
  Disk disk{rig};
  CHECK(run(rig.shard, check::check_read_only_block(rig.shard, disk)) == std::string_view{});
}

TEST_CASE("block: many pieces are few requests") {
  Rig rig(Feature::indirect);
  rig.device.on_notify = [&](std::uint16_t) { rig.serve(); };
  REQUIRE(rig.start() == BlockDevice::Error::none);
  std::array<std::byte, 50 * 512> memory{};
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i / 512);
  std::vector<Bytes> pieces;
  for (std::size_t i = 0; i < 50; ++i) pieces.push_back(Bytes{memory}.subspan(i * 512, 512));
  Disk disk{rig};
  CHECK(run(rig.shard, [](Shard&, Disk& to, BlockPieces from) -> Task<bool> {
          co_return (co_await to.write_gather(3, from)).has_value();
        }(rig.shard, disk, pieces)) == true);
  CHECK(std::memcmp(rig.disk.data() + 3 * std::size_t{512}, memory.data(), memory.size()) == 0);
  CHECK(rig.segments == std::vector<std::size_t>{22, 22, 12});
}

TEST_CASE("block: a discard goes out in parts of the device's limit; a limit of nothing is no capability") {
  Rig rig(bit(13) | bit(14));
  set_ranges(rig, 8);
  rig.device.on_notify = [&](std::uint16_t) { rig.serve(); };
  REQUIRE(rig.start() == BlockDevice::Error::none);
  std::ranges::fill(rig.disk, std::byte{1});
  Disk disk{rig};
  CHECK(run(rig.shard, [](Shard&, Disk& to) -> Task<bool> {
          co_return (co_await to.discard(5, 20)).has_value();
        }(rig.shard, disk)) == true);
  CHECK(rig.types == std::vector<std::uint32_t>{11, 11, 11});
  CHECK(std::ranges::count(rig.disk, std::byte{0}) == 20 * 512);
  CHECK(rig.disk[5 * 512 - 1] == std::byte{1});
  CHECK(rig.disk[5 * 512] == std::byte{0});
  Rig none(bit(13));
  REQUIRE(none.start() == BlockDevice::Error::none);
  CHECK_FALSE(none.block.geometry().discard);
}

namespace {

constexpr std::uint64_t many_queues = bit(12);

void set_queues(Rig& rig, std::uint16_t count) { store_little<std::uint16_t>(rig.device.configuration, 34, count); }

/// Reads 64 sectors at once; how many requests each queue got.
std::array<std::uint16_t, FakeDevice::queues> spread(Rig& rig, std::size_t operations) {
  static std::array<std::array<std::byte, 512>, 64> memory;
  std::array<Outcome, 64> outcomes;
  for (std::size_t i = 0; i < operations; ++i)
    REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, i, memory[i], outcomes[i])));
  rig.turns();
  std::array<std::uint16_t, FakeDevice::queues> counts{};
  for (std::uint16_t queue = FakeDevice::queues; queue-- > 0;) {  // the last queue's answers come first
    if (rig.device.rings[queue].size == 0) continue;
    const std::size_t before = rig.types.size();
    rig.serve(0, true, queue);
    counts[queue] = static_cast<std::uint16_t>(rig.types.size() - before);
    rig.turns();
  }
  for (std::size_t i = 0; i < operations; ++i) {
    REQUIRE(outcomes[i]);
    CHECK(outcomes[i]->has_value());
  }
  return counts;
}

}  // namespace

TEST_CASE("block: few requests ring one bell, many are spread over the queues") {
  using Counts = std::array<std::uint16_t, FakeDevice::queues>;
  for (const std::uint64_t indirect : {std::uint64_t{0}, Feature::indirect}) {
    Rig rig(many_queues | indirect);
    set_queues(rig, 4);
    REQUIRE(rig.start() == BlockDevice::Error::none);
    CHECK(rig.block.queue_count() == 4);
    CHECK(rig.block.geometry().queue_depth == 64);
    CHECK(spread(rig, 10) == Counts{10, 0, 0, 0});
    CHECK(spread(rig, 64) == Counts{16, 16, 16, 16});
    CHECK(rig.device.rings[3].notifications == 1);
  }
  // Not offered, or refused by the device: one queue, which takes all.
  Rig one;
  set_queues(one, 4);
  REQUIRE(one.start() == BlockDevice::Error::none);
  CHECK(one.block.queue_count() == 1);
  CHECK(spread(one, 64) == Counts{64, 0, 0, 0});
}

TEST_CASE("block: conforms over several queues") {
  for (const std::uint16_t count : std::array<std::uint16_t, 3>{2, 3, 4}) {
    Rig rig(many_queues | bit(9) | bit(13) | bit(14) | Feature::indirect);
    set_queues(rig, count);
    set_ranges(rig, 3);
    rig.device.on_notify = [&](std::uint16_t queue) { rig.serve(0, true, queue); };
    REQUIRE(rig.start() == BlockDevice::Error::none);
    CHECK(rig.block.queue_count() == count);
    Disk disk{rig};
    CHECK(run(rig.shard, check::check_block(rig.shard, disk)) == std::string_view{});
  }
}

TEST_CASE("block: a device with other queues than it says") {
  SUBCASE("none") {
    Rig rig(many_queues);
    REQUIRE(rig.start() == BlockDevice::Error::none);
    CHECK(rig.block.queue_count() == 1);
  }
  SUBCASE("a great many") {
    Rig rig(many_queues);
    set_queues(rig, 0xffff);
    REQUIRE(rig.start() == BlockDevice::Error::none);
    CHECK(rig.block.queue_count() == 4);
  }
  SUBCASE("fewer, and a tiny one") {
    Rig rig(many_queues);
    set_queues(rig, 4);
    rig.device.rings[1].limit = 4;
    rig.device.rings[2].limit = 0;
    REQUIRE(rig.start() == BlockDevice::Error::none);
    CHECK(rig.block.queue_count() == 2);
    CHECK(rig.block.geometry().queue_depth == 17);
    CHECK(spread(rig, 17) == std::array<std::uint16_t, FakeDevice::queues>{16, 1, 0, 0});
  }
  SUBCASE("one of them makes no sense: the device is reset, the requests of all fail") {
    Rig rig(many_queues);
    set_queues(rig, 2);
    REQUIRE(rig.start() == BlockDevice::Error::none);
    std::array<Outcome, 40> outcomes;
    static std::array<std::byte, 512> memory;
    for (Outcome& outcome : outcomes) REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 0, memory, outcome)));
    rig.turns();
    FakeChain chain;
    REQUIRE(rig.device.pop(1, chain));
    rig.device.push(0, chain.head + 200U, 513);  // no request of that queue: counted, nothing completes
    rig.turns();
    CHECK(std::ranges::none_of(outcomes, [](const Outcome& outcome) { return outcome.has_value(); }));
    rig.device.set_used_index(1, 1000);
    rig.turns();
    CHECK(rig.device.state == Status::reset);
    for (const Outcome& outcome : outcomes) CHECK(outcome->error() == BlockError::io);
  }
}

TEST_CASE("block: a ring too small for a request is refused") {
  Rig rig;
  rig.device.rings[0].limit = 2;
  CHECK(rig.start() == BlockDevice::Error::no_queue);
}

TEST_CASE("block: a long operation goes out in parts of the device's segment size") {
  Rig rig(bit(1));
  store_little<std::uint32_t>(rig.device.configuration, 8, 2048 + 100);
  REQUIRE(rig.start() == BlockDevice::Error::none);
  std::array<std::byte, 5120> memory{};
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i / 512);
  Outcome written;
  REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, true, 4, memory, written)));
  for (unsigned i = 0; i < 3; ++i) {
    CHECK_FALSE(written);
    rig.turns();
    rig.serve();
  }
  rig.turns();
  REQUIRE(written);
  CHECK(written->has_value());
  CHECK(std::memcmp(rig.disk.data() + 2048, memory.data(), memory.size()) == 0);
  CHECK(rig.types.size() == 3);
}

TEST_CASE("block: more operations than the ring holds wait their turn") {
  Rig rig;
  rig.device.rings[0].limit = 8;
  REQUIRE(rig.start() == BlockDevice::Error::none);
  constexpr std::size_t count = 20;
  static std::array<std::array<std::byte, 512>, count> memory;
  std::array<Outcome, count> outcomes;
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, i, memory[i], outcomes[i])));
  }
  for (unsigned i = 0; i < 12; ++i) {
    rig.turns();
    rig.serve();
  }
  rig.turns();
  for (const Outcome& outcome : outcomes) {
    REQUIRE(outcome);
    CHECK(outcome->has_value());
  }
}

TEST_CASE("block: errors of the device are values") {
  Rig rig(bit(9));
  REQUIRE(rig.start() == BlockDevice::Error::none);
  std::array<std::byte, 512> memory{};
  Outcome outcome;
  SUBCASE("i/o error") {
    REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 0, memory, outcome)));
    rig.turns();
    rig.serve(1);
    rig.turns();
    CHECK(outcome->error() == BlockError::io);
    CHECK(rig.block.statistics().failures == 1);
  }
  SUBCASE("unsupported") {
    REQUIRE(rig.scope.spawn(flush(rig, rig.shard, outcome)));
    rig.turns();
    rig.serve(2);
    rig.turns();
    CHECK(outcome->error() == BlockError::unsupported);
  }
  SUBCASE("success without the data") {
    rig.short_reads = true;
    REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 0, memory, outcome)));
    rig.turns();
    rig.serve();
    rig.turns();
    CHECK(outcome->error() == BlockError::io);
  }
  SUBCASE("a used ring that makes no sense: the device is reset, everybody told") {
    REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 0, memory, outcome)));
    rig.turns();
    rig.device.set_used_index(0, 1000);
    rig.turns();
    CHECK(outcome->error() == BlockError::io);
    CHECK(rig.device.state == Status::reset);
    Outcome later;
    REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 0, memory, later)));
    rig.turns();
    CHECK(later->error() == BlockError::io);
  }
}

TEST_CASE("entropy: gives up, and refuses a device that returns nothing") {
  alignas(4096) static std::array<std::byte, entropy_queue_memory> memory;
  std::array<std::byte, 16> out{};
  struct Patience {
    FakeDevice device;
    int polls = 0;
    std::uint32_t answer = 0;
    std::uint32_t answers = 0;
  } patience;
  const auto give_up = [](void* context) noexcept {
    auto& it = *static_cast<Patience*>(context);
    FakeChain chain;
    if (it.answer != 0 && it.device.pop(0, chain)) {
      std::ranges::fill(chain.writable[0], std::byte{9});
      it.device.push(0, chain.head, it.answer);
      ++it.answers;
      return false;
    }
    return ++it.polls > 10;
  };
  SUBCASE("silence") { CHECK_FALSE(read_entropy(patience.device, out, memory, give_up, &patience)); }
  SUBCASE("a few bytes at a time") {
    patience.answer = 5;
    CHECK(read_entropy(patience.device, out, memory, give_up, &patience));
    CHECK(patience.answers == 4);
    for (const std::byte b : out) CHECK(b == std::byte{9});
  }
  CHECK(patience.device.state == Status::reset);
}

TEST_CASE("console: a line goes out as it is") {
  alignas(4096) static std::array<std::byte, ConsoleDevice::queue_memory> memory;
  // Answers within the notification: the console waits for that.
  FakeDevice device;
  ConsoleDevice console;
  REQUIRE(console.start(device, memory));
  std::string seen;
  device.on_notify = [&](std::uint16_t queue) {
    FakeChain chain;
    while (device.pop(queue, chain)) {
      for (const std::byte b : chain.read_all()) seen += static_cast<char>(b);
      device.push(queue, chain.head, 0);
    }
  };
  for (int i = 0; i < 100; ++i) console.write(std::string_view{"hello\n"});
  CHECK(seen.size() == 600);
  CHECK(seen.starts_with("hello\nhello\n"));
  SUBCASE("a device that makes no sense is given up") {
    device.on_notify = [&](std::uint16_t queue) { device.set_used_index(queue, 0x7000); };
    console.write(std::string_view{"x"});
    CHECK_FALSE(console.started());
    CHECK(device.state == Status::reset);
    console.write(std::string_view{"lost"});
  }
}
