// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/file.hpp>
#include <mirage/store/volume/volume.hpp>

using namespace mirage;

namespace {

class Still final : public Environment {
 public:
  Time monotonic() noexcept override { return {}; }
  WallTime wall() noexcept override { return {}; }
  bool entropy(MutableBytes out) noexcept override {
    for (std::byte& byte : out) byte = static_cast<std::byte>(++count_);
    return true;
  }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}

 private:
  unsigned count_ = 0;
};

struct Machine {
  Still environment;
  Shard shard{environment};
};

using Disk = device::PowerCut;
constexpr std::uint64_t sectors = 2 * 4096 / 512 + 12 * 128;

template <class T>
std::optional<T> run_quick(Shard& shard, Quick<T> quick) {
  return run(shard, [](Shard&, Quick<T> waits) -> Task<T> { co_return co_await waits; }(shard, std::move(quick)));
}

template <class B>
std::string start(Machine& machine, store::Volume<B>& volume) {
  const auto started = run(machine.shard, volume.start());
  return !started ? "not run" : *started ? "" : std::string(started->error().text());
}

}  // namespace

static_assert(File<store::Volume<Disk>::Part>);
static_assert(JournaledFile<store::Volume<Disk>>);

TEST_CASE("both files of a volume are files") {
  for (const std::uint32_t sector : {512U, 4096U}) {
    Machine machine;
    Disk disk{machine.shard, sectors * 512 / sector, sector};
    store::Volume volume{machine.shard, disk, true};
    REQUIRE(start(machine, volume) == "");
    CHECK(run(machine.shard, check::check_file(machine.shard, volume.data())) == std::string_view{});
    CHECK(run(machine.shard, check::check_file(machine.shard, volume.journal())) == std::string_view{});
  }
}

TEST_CASE("what the disk does at once and what it does later make the same files") {
  for (const unsigned period : {0U, 1U, 2U, 3U, 7U}) {
    Machine machine;
    Disk disk{machine.shard, sectors};
    device::CachedCut cached{disk, period};
    store::Volume volume{machine.shard, cached, true};
    REQUIRE(start(machine, volume) == "");
    CHECK(run(machine.shard, check::check_file(machine.shard, volume.data())) == std::string_view{});
    CHECK(run(machine.shard, check::check_file(machine.shard, volume.journal())) == std::string_view{});
    REQUIRE(run(machine.shard, volume.data().sync())->has_value());
    // Nobody comes in between while one waits for the disk: each row is one writer's.
    const auto size = static_cast<std::size_t>(2 * store::volume::chunk_size);
    unsigned good = 0;
    Scope scope{machine.shard};
    for (unsigned who = 1; who <= 3; ++who) {
      REQUIRE(scope.spawn([](Shard&, auto& part, std::size_t row, unsigned writer, unsigned& count) -> Task<void> {
        const std::vector<std::byte> bytes(row, static_cast<std::byte>(writer));
        std::vector<std::byte> back(row);
        if (!co_await part.write_at(0, bytes) || !co_await part.read_at(0, back)) co_return;
        if (std::ranges::count(back, back[0]) == static_cast<std::ptrdiff_t>(row)) ++count;
      }(machine.shard, volume.data(), size, who, good)));
    }
    REQUIRE(run(machine.shard, [](Shard&, Scope& all) -> Task<int> {
      co_await all.join();
      co_return 0;
    }(machine.shard, scope)));
    CHECK(good == 3);
  }
}

TEST_CASE("a write at once that fails is a failed write") {
  Machine machine;
  Disk disk{machine.shard, sectors};
  device::CachedCut cached{disk};
  store::Volume volume{machine.shard, cached, true};
  REQUIRE(start(machine, volume) == "");
  const std::vector<std::byte> bytes(4096, std::byte{5});
  for (std::uint64_t at = 0; at < 2 * store::volume::chunk_size; at += bytes.size())
    REQUIRE(run_quick(machine.shard, volume.data().write_at(at, bytes))->has_value());
  disk.set_faults({.write = 0});
  auto first = volume.data().write_at(0, bytes);  // sends the other chunk away
  REQUIRE(first.is_ready());
  CHECK(first.take() == Result<void, FileError>{Failure{FileError::io}});
  CHECK(volume.counters().failures == 1);
  auto second = volume.data().write_at(0, bytes);
  REQUIRE(second.is_ready());
  CHECK_FALSE(second.take());
  CHECK_FALSE(run(machine.shard, volume.data().sync())->has_value());
}

TEST_CASE("what was synced is there at the next start") {
  Machine machine;
  Disk disk{machine.shard, sectors};
  const std::vector<std::byte> bytes(100'000, std::byte{7});
  {
    store::Volume volume{machine.shard, disk, true};
    REQUIRE(start(machine, volume) == "");
    REQUIRE(run_quick(machine.shard, volume.data().write_at(0, bytes))->has_value());
    REQUIRE(run_quick(machine.shard, volume.journal().write_at(0, Bytes{bytes}.first(5)))->has_value());
    REQUIRE(run(machine.shard, volume.data().sync())->has_value());
    REQUIRE(run(machine.shard, volume.journal().sync())->has_value());
  }
  store::Volume again{machine.shard, disk};
  REQUIRE(start(machine, again) == "");
  CHECK(again.data().size() == bytes.size());
  CHECK(again.journal().size() == 5);
  std::vector<std::byte> back(bytes.size());
  REQUIRE(run_quick(machine.shard, again.data().read_at(0, back))->has_value());
  CHECK(back == bytes);
}

TEST_CASE("blank, foreign, damaged and too small disks are refused and left as they are") {
  Machine machine;
  Disk blank{machine.shard, sectors};
  store::Volume refused{machine.shard, blank};
  CHECK(start(machine, refused).starts_with("the disk is blank"));
  CHECK(blank.events() == 0);

  const std::vector<std::byte> noise(sectors * 512, std::byte{0x55});
  Disk foreign{machine.shard, noise};
  store::Volume other{machine.shard, foreign, true};
  CHECK(start(machine, other).starts_with("the disk holds something else"));
  CHECK(foreign.events() == 0);

  // Zeros where the headers would be, and somebody's elsewhere.
  for (const std::size_t place : {std::size_t{17}, std::size_t{64}, std::size_t{sectors - 1}}) {
    std::vector<std::byte> image(sectors * 512);
    image[place * 512] = std::byte{1};
    Disk disk{machine.shard, image};
    store::Volume volume{machine.shard, disk, true};
    CHECK(start(machine, volume).starts_with("the disk holds something else"));
    CHECK(disk.events() == 0);
  }

  Disk tiny{machine.shard, 64};
  store::Volume small{machine.shard, tiny, true};
  CHECK(start(machine, small).starts_with("the disk is too small"));

  device::Ramdisk memory{machine.shard, sectors};
  REQUIRE(run(machine.shard, memory.start())->has_value());
  store::Volume lossy{machine.shard, memory, true};
  CHECK(start(machine, lossy).starts_with("the disk cannot flush"));
  store::Volume accepted{machine.shard, memory, true, true};
  CHECK(start(machine, accepted) == "");
  CHECK(run(machine.shard, check::check_file(machine.shard, accepted.data())) == std::string_view{});
}

TEST_CASE("one damaged header is survived, any flipped bit is found, two are refused") {
  Machine machine;
  Disk disk{machine.shard, sectors};
  store::Volume made{machine.shard, disk, true};
  REQUIRE(start(machine, made) == "");
  for (std::uint64_t bit = 0; bit < 8 * store::volume::header_size; ++bit) {
    disk.flip_bit(bit);
    store::Volume volume{machine.shard, disk};
    CHECK(start(machine, volume) == "");
    disk.flip_bit(8 * 4096 + bit);
    store::Volume neither{machine.shard, disk};
    CHECK(start(machine, neither) != "");
    disk.flip_bit(bit);
    disk.flip_bit(8 * 4096 + bit);
  }
}

// Found by fuzz_store_volume_volume: the header after the last number had the number 0, and the next start took the one
// before.
TEST_CASE("what was synced is there whatever number the headers have come to") {
  for (const std::uint64_t generation : {~std::uint64_t{0}, ~std::uint64_t{0} - 1, ~std::uint64_t{0} >> 1}) {
    std::vector<std::byte> image(sectors * 512);
    store::volume::emit({.generation = generation, .id = 1, .sizes = {}, .chunks = 12}, image);
    Machine machine;
    Disk disk{machine.shard, image};
    for (std::uint64_t size = 0; size < 4; ++size) {
      store::Volume volume{machine.shard, disk};
      REQUIRE(start(machine, volume) == "");
      CHECK(volume.data().size() == size);
      REQUIRE(run(machine.shard, volume.data().truncate(size + 1))->has_value());
      REQUIRE(run(machine.shard, volume.data().sync())->has_value());
    }
  }
}

TEST_CASE("the files share the space, and freed space is given away only when that is durable") {
  Machine machine;
  Disk disk{machine.shard, sectors};
  store::Volume volume{machine.shard, disk, true};
  REQUIRE(start(machine, volume) == "");
  auto& data = volume.data();
  auto& journal = volume.journal();
  const auto error = [&](auto task) {
    const auto done = run(machine.shard, std::move(task));
    return *done ? std::optional<FileError>{} : std::optional{done->error()};
  };
  CHECK_FALSE(error(data.truncate(8 * 65536)));
  CHECK_FALSE(error(data.sync()));
  CHECK_FALSE(error(journal.truncate(4 * 65536)));
  CHECK(error(journal.truncate(4 * 65536 + 1)) == FileError::no_space);
  CHECK_FALSE(error(data.truncate(0)));
  CHECK(error(journal.truncate(5 * 65536)) == FileError::no_space);
  CHECK_FALSE(error(data.sync()));
  CHECK_FALSE(error(journal.truncate(12 * 65536)));
  CHECK(error(data.truncate(1)) == FileError::no_space);
}

TEST_CASE("after a failed write or flush nothing more is written") {
  for (const bool flush : {false, true}) {
    Machine machine;
    Disk disk{machine.shard, sectors};
    store::Volume volume{machine.shard, disk, true};
    REQUIRE(start(machine, volume) == "");
    disk.set_faults(flush ? Disk::Faults{.flush = 0} : Disk::Faults{.write = 0});
    const std::vector<std::byte> bytes(10, std::byte{1});
    REQUIRE(run_quick(machine.shard, volume.data().write_at(0, bytes))->has_value());
    CHECK_FALSE(run(machine.shard, volume.data().sync())->has_value());
    const std::size_t events = disk.events();
    CHECK_FALSE(run(machine.shard, volume.data().sync())->has_value());
    CHECK(disk.events() == events);
  }
}

TEST_CASE("with FUA a sync whose only write is one is no flush; others are, and the first after the start") {
  Machine machine;
  Disk disk{machine.shard, sectors, 512, Durability::fua};
  store::Volume volume{machine.shard, disk, true};
  REQUIRE(start(machine, volume) == "");
  const std::vector<std::byte> bytes(2048, std::byte{1});
  const auto sync = [&](auto& part) { REQUIRE(run(machine.shard, part.sync())->has_value()); };
  const auto write = [&](auto& part, std::uint64_t at) {
    REQUIRE(run_quick(machine.shard, part.write_at(at, bytes))->has_value());
  };
  const auto cost = [&](auto&& what) {
    const auto before = volume.counters();
    what();
    return std::pair{volume.counters().flushes - before.flushes, volume.counters().durable - before.durable};
  };
  using Cost = std::pair<std::uint64_t, std::uint64_t>;
  auto& data = volume.data();
  auto& journal = volume.journal();
  CHECK(cost([&] { write(data, 0), sync(data); }) == Cost{1, 0});                 // data and header
  CHECK(cost([&] { write(data, 0), sync(data); }) == Cost{0, 1});                 // data
  CHECK(cost([&] { write(data, 0), sync(journal), sync(data); }) == Cost{0, 1});  // nothing; data
  CHECK(cost([&] { sync(data); }) == Cost{0, 0});                                 // nothing at all
  const auto shorten = [&] { REQUIRE(run(machine.shard, data.truncate(512))->has_value()); };
  CHECK(cost([&] { shorten(), sync(data); }) == Cost{0, 1});  // the header
  CHECK(cost([&] { write(journal, 0), write(journal, 3000), sync(journal); }) == Cost{1, 0});
  store::Volume again{machine.shard, disk};
  REQUIRE(start(machine, again) == "");
  // Who wrote before may have ended without a flush: the start has made it durable.
  CHECK(again.counters().flushes == 1);
  REQUIRE(run(machine.shard, again.data().sync())->has_value());
  CHECK(again.counters().flushes == 1);
  disk.set_faults({.flush = 0});
  store::Volume failing{machine.shard, disk};
  CHECK(start(machine, failing) == "the disk cannot be flushed: input/output error");
}

TEST_CASE("killed before its flush, started again, then a power cut: what was synced is there") {
  Machine machine;
  Disk disk{machine.shard, sectors};
  std::vector<std::byte> bytes(65536, std::byte{9});
  const auto done = [&](auto task) { REQUIRE(run(machine.shard, std::move(task))->has_value()); };
  {
    store::Volume volume{machine.shard, disk, true};
    REQUIRE(start(machine, volume) == "");
    for (std::uint64_t i = 0; i < 12; ++i) {
      REQUIRE(run_quick(machine.shard, volume.data().write_at(i * bytes.size(), bytes))->has_value());
    }
    done(volume.data().sync());
    // It dies in the sync of its shorter file: behind the header, before the flush.
    disk.set_faults({.power_off = 1});
    done(volume.data().truncate(0));
    REQUIRE_FALSE(run(machine.shard, volume.data().sync())->has_value());
    disk.set_faults({});
  }
  std::size_t settled = 0;
  {
    store::Volume volume{machine.shard, disk};
    REQUIRE(start(machine, volume) == "");
    CHECK(volume.data().size() == 0);
    settled = disk.events();
    std::ranges::fill(bytes, std::byte{1});
    for (std::uint64_t i = 0; i < 12; ++i) {  // into the space; the last stays in memory
      REQUIRE(run_quick(machine.shard, volume.journal().write_at(i * bytes.size(), bytes))->has_value());
    }
    REQUIRE(disk.events() > settled);
  }
  device::CutExplorer explorer{machine.shard, disk, 1, 4};
  std::size_t tried = 0;
  while (explorer.advance()) {
    if (explorer.event() < settled) continue;
    for (std::size_t i = 0; i < explorer.variants(); ++i) {
      device::CutImage& image = explorer.image(i);
      store::Volume volume{machine.shard, image};
      REQUIRE(start(machine, volume) == "");
      std::vector<std::byte> back(volume.data().size());
      REQUIRE(run_quick(machine.shard, volume.data().read_at(0, back))->has_value());
      REQUIRE(std::ranges::count(back, std::byte{9}) == static_cast<std::ptrdiff_t>(back.size()));
      ++tried;
    }
  }
  CHECK(tried > 0);
}

TEST_CASE("a failed durable write is a failed write") {
  Machine machine;
  Disk disk{machine.shard, sectors, 512, Durability::fua};
  store::Volume volume{machine.shard, disk, true};
  REQUIRE(start(machine, volume) == "");
  disk.set_faults({.write = 0});
  REQUIRE(run(machine.shard, volume.data().truncate(10))->has_value());
  CHECK_FALSE(run(machine.shard, volume.data().sync())->has_value());
  CHECK_FALSE(run(machine.shard, volume.data().sync())->has_value());
}

TEST_CASE("a power cut leaves the sizes of one sync or the next, and what was synced") {
  for (const Durability durability : {Durability::flush, Durability::fua}) {
    Machine machine;
    Disk disk{machine.shard, sectors, 512, durability};
    std::vector<std::pair<std::size_t, std::uint64_t>> synced;  // events so far, size that was synced
    {
      store::Volume volume{machine.shard, disk, true};
      REQUIRE(start(machine, volume) == "");
      synced.emplace_back(disk.events(), 0);
      const std::vector<std::byte> bytes(3000, std::byte{9});
      for (std::uint64_t i = 0; i < 8; ++i) {
        REQUIRE(run_quick(machine.shard, volume.data().write_at(i * bytes.size(), bytes))->has_value());
        REQUIRE(run(machine.shard, volume.data().sync())->has_value());
        synced.emplace_back(disk.events(), (i + 1) * bytes.size());
        // Only the header, then only data.
        REQUIRE(run(machine.shard, volume.journal().truncate(i % 2))->has_value());
        REQUIRE(run(machine.shard, volume.journal().sync())->has_value());
        REQUIRE(run_quick(machine.shard, volume.data().write_at(0, Bytes{bytes}.first(512)))->has_value());
        REQUIRE(run(machine.shard, volume.data().sync())->has_value());
      }
    }
    device::CutExplorer explorer{machine.shard, disk, 1, 4};
    std::size_t tried = 0;
    while (explorer.advance()) {
      if (explorer.event() < synced.front().first) continue;
      std::uint64_t size = 0;
      for (const auto& [events, at] : synced) {
        if (events <= explorer.event()) size = at;
      }
      for (std::size_t i = 0; i < explorer.variants(); ++i) {
        device::CutImage& image = explorer.image(i);
        store::Volume volume{machine.shard, image};
        REQUIRE(start(machine, volume) == "");
        REQUIRE((volume.data().size() == size || volume.data().size() == size + 3000));
        std::vector<std::byte> back(size);
        REQUIRE(run_quick(machine.shard, volume.data().read_at(0, back))->has_value());
        REQUIRE(std::ranges::count(back, std::byte{9}) == static_cast<std::ptrdiff_t>(size));
        ++tried;
      }
    }
    CHECK(tried > 100);
  }
}

TEST_CASE("a volume on a disk that has grown has its journal where it was, and its size") {
  Machine machine;
  std::vector<std::byte> image;
  const std::vector<std::byte> bytes(3000, std::byte{6});
  {
    Disk disk{machine.shard, sectors};
    store::Volume volume{machine.shard, disk, true};
    REQUIRE(start(machine, volume) == "");
    REQUIRE(run_quick(machine.shard, volume.journal().write_at(0, bytes))->has_value());
    REQUIRE(run(machine.shard, volume.journal().sync())->has_value());
    image.assign(disk.content().begin(), disk.content().end());
  }
  image.resize(image.size() + 3 * store::volume::chunk_size);
  Disk disk{machine.shard, image};
  for (unsigned starts = 0; starts < 2; ++starts) {
    store::Volume volume{machine.shard, disk};
    REQUIRE(start(machine, volume) == "");
    REQUIRE(volume.journal().size() == bytes.size());
    std::vector<std::byte> back(bytes.size());
    REQUIRE(run_quick(machine.shard, volume.journal().read_at(0, back))->has_value());
    CHECK(back == bytes);
    CHECK(volume.data().has_room(11 * store::volume::chunk_size));
    CHECK_FALSE(volume.data().has_room(11 * store::volume::chunk_size + 1));
    REQUIRE(run_quick(machine.shard, volume.journal().write_at(0, bytes))->has_value());
    REQUIRE(run(machine.shard, volume.journal().sync())->has_value());
  }
  // A format is for the disk as it is.
  store::Volume anew{machine.shard, disk};
  REQUIRE(start(machine, anew) == "");
  REQUIRE(run(machine.shard, anew.format())->has_value());
  CHECK(anew.data().has_room(15 * store::volume::chunk_size));
}

TEST_CASE("without a flush a file stays as short as it was synced, whatever is synced afterwards") {
  Machine machine;
  device::Ramdisk memory{machine.shard, sectors};
  REQUIRE(run(machine.shard, memory.start())->has_value());
  store::Volume volume{machine.shard, memory, true, true};
  REQUIRE(start(machine, volume) == "");
  const std::vector<std::byte> bytes(3000, std::byte{6});
  const auto sync = [&](auto& part) {
    CHECK(run(machine.shard, part.sync()) == Result<void, FileError>{Failure{FileError::unsupported}});
  };
  REQUIRE(run_quick(machine.shard, volume.journal().write_at(0, bytes))->has_value());
  sync(volume.journal());
  REQUIRE(run(machine.shard, volume.journal().truncate(0))->has_value());
  sync(volume.journal());
  sync(volume.data());
  store::Volume again{machine.shard, memory, false, true};
  REQUIRE(start(machine, again) == "");
  CHECK(again.journal().size() == 0);
}

namespace {

/// A disk that there is no memory to ask for something: counted from when it is armed.
struct Refusing : Disk {
  using PowerCut::PowerCut;
  std::uint64_t refused = never_fails;
  bool done_all_the_same = false;  ///< as a layer may, that runs out of memory behind the write
  [[nodiscard]] bool refuses() noexcept { return refused != never_fails && refused-- == 0; }
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes) {
    const bool is_refused = refuses();
    if (is_refused && !done_all_the_same) co_return Failure{BlockError::no_memory};
    const auto written = co_await PowerCut::write(sector, bytes);
    co_return is_refused ? BlockResult{Failure{BlockError::no_memory}} : written;
  }
  Task<BlockResult> flush() {
    if (refuses()) co_return Failure{BlockError::no_memory};
    co_return co_await PowerCut::flush();
  }
};

}  // namespace

TEST_CASE("after a passing lack of memory a volume goes on, with what was synced") {
  for (const bool done : {false, true}) {
    for (std::uint64_t refused = 0; refused < 3; ++refused) {  // data, header, flush
      Machine machine;
      Refusing disk{machine.shard, sectors};
      const std::vector<std::byte> bytes(3000, std::byte{6});
      {
        store::Volume volume{machine.shard, disk, true};
        REQUIRE(start(machine, volume) == "");
        REQUIRE(run_quick(machine.shard, volume.data().write_at(0, bytes))->has_value());
        REQUIRE(run(machine.shard, volume.data().sync())->has_value());
        // Shorter, and what remains is changed.
        disk.refused = refused;
        disk.done_all_the_same = done;
        REQUIRE(run(machine.shard, volume.data().truncate(1000))->has_value());
        REQUIRE(run_quick(machine.shard, volume.data().write_at(0, Bytes{bytes}.first(1)))->has_value());
        CHECK(run(machine.shard, volume.data().sync()) == Result<void, FileError>{Failure{FileError::no_memory}});
        // As long as before: the header that may have arrived says something else.
        REQUIRE(run_quick(machine.shard, volume.data().write_at(0, bytes))->has_value());
        CHECK(run(machine.shard, volume.data().sync())->has_value());
      }
      store::Volume again{machine.shard, disk};
      REQUIRE(start(machine, again) == "");
      REQUIRE(again.data().size() == bytes.size());
      std::vector<std::byte> back(bytes.size());
      REQUIRE(run_quick(machine.shard, again.data().read_at(0, back))->has_value());
      CHECK(back == bytes);
    }
  }
}

TEST_CASE("space is not given away by a sync that there was no memory for, nor is its size taken back by the other's") {
  for (std::uint64_t refused = 0; refused < 2; ++refused) {  // header, flush
    Machine machine;
    Refusing disk{machine.shard, sectors};
    store::Volume volume{machine.shard, disk, true};
    REQUIRE(start(machine, volume) == "");
    auto& journal = volume.journal();
    REQUIRE(run(machine.shard, journal.truncate(6 * store::volume::chunk_size))->has_value());
    REQUIRE(run(machine.shard, journal.sync())->has_value());
    REQUIRE(run(machine.shard, journal.truncate(0))->has_value());
    disk.refused = refused;
    CHECK(run(machine.shard, journal.sync()) == Result<void, FileError>{Failure{FileError::no_memory}});
    CHECK(volume.data().has_room(6 * store::volume::chunk_size));
    CHECK_FALSE(volume.data().has_room(6 * store::volume::chunk_size + 1));
    REQUIRE(run(machine.shard, volume.data().truncate(1))->has_value());
    REQUIRE(run(machine.shard, volume.data().sync())->has_value());
    store::Volume again{machine.shard, disk};
    REQUIRE(start(machine, again) == "");
    CHECK(again.journal().size() == (refused == 0 ? 6 * store::volume::chunk_size : 0));
    REQUIRE(run(machine.shard, journal.sync())->has_value());
    CHECK(volume.data().has_room(12 * store::volume::chunk_size));
  }
}

TEST_CASE("a write at once that there is no memory for is tried again") {
  Machine machine;
  Disk disk{machine.shard, sectors};
  struct AtOnce {
    Disk& disk;
    bool refuses = false;
    [[nodiscard]] const BlockGeometry& geometry() const noexcept { return disk.geometry(); }
    [[nodiscard]] Shard& shard() noexcept { return disk.shard(); }
    auto read(std::uint64_t sector, MutableBytes bytes) { return disk.read(sector, bytes); }
    Ready<BlockResult> write(std::uint64_t sector, Bytes bytes) {
      if (std::exchange(refuses, false)) return Ready<BlockResult>{BlockResult{Failure{BlockError::no_memory}}};
      return Ready<BlockResult>{*run(disk.shard(), disk.write(sector, bytes))};
    }
    auto flush() { return disk.flush(); }
  } quick{disk};
  store::Volume volume{machine.shard, quick, true};
  REQUIRE(start(machine, volume) == "");
  const std::vector<std::byte> bytes(store::volume::chunk_size, std::byte{5});
  REQUIRE(run_quick(machine.shard, volume.data().write_at(0, bytes))->has_value());
  quick.refuses = true;
  auto first = volume.data().write_at(bytes.size(), bytes);  // sends the other chunk away
  REQUIRE(first.is_ready());
  CHECK(first.take() == Result<void, FileError>{Failure{FileError::no_memory}});
  CHECK(run_quick(machine.shard, volume.data().write_at(bytes.size(), bytes))->has_value());
  CHECK(run(machine.shard, volume.data().sync())->has_value());
  std::vector<std::byte> back(bytes.size());
  REQUIRE(run_quick(machine.shard, volume.data().read_at(0, back))->has_value());
  CHECK(back == bytes);
}
