// SPDX-License-Identifier: ISC
// The parts of ring 0 that are plain computation: scales, calendar, page tables, exception names.
#include <cstring>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/machine/x86_64/clock.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/machine/x86_64/paging.hpp>

using namespace mirage::machine;

// The privileged half is not linked here.
bool mirage::machine::PageTables::map_active(std::uintptr_t, std::uintptr_t, Entry) noexcept { return false; }

// Undefined behaviour on these paths does not compile.
static_assert(TickScale::of_frequency(1'000'000'000).nanoseconds(12345) == 12345);
static_assert(TickScale::of_frequency(0).nanoseconds(12345) == 0 && TickScale::of_frequency(0).ticks(5) == 0);
static_assert(unix_seconds(1970, 1, 1, 0, 0, 0) == 0);
static_assert(unix_seconds(2000, 2, 29, 23, 59, 59) == 951'868'799);
static_assert(unix_seconds(2026, 11, 24, 4, 5, 6) == 1'795'493'106);
static_assert(unix_seconds(2100, 3, 1, 0, 0, 0) == 4'107'542'400);

TEST_CASE("tick scale: three gigahertz for a century, without overflow") {
  for (const std::uint64_t hertz : {1'000'000ULL, 1'193'182ULL, 2'595'851'537ULL, 5'000'000'000ULL}) {
    const TickScale scale = TickScale::of_frequency(hertz);
    const std::uint64_t seconds = 100ULL * 365 * 86400;
    const auto nanoseconds = static_cast<double>(scale.nanoseconds(hertz * seconds));
    CHECK(nanoseconds == doctest::Approx(static_cast<double>(seconds) * 1e9).epsilon(1e-8));
    for (const std::uint64_t wait : {0ULL, 1ULL, 999ULL, 1'000'000ULL, 60'000'000'000ULL}) {
      // Never early.
      CHECK(scale.nanoseconds(scale.ticks(wait)) >= wait - (wait == 0 ? 0 : 1));
    }
  }
  CHECK(TickScale::of_frequency(5'000'000'000).ticks(UINT64_MAX) == UINT64_MAX);
}

TEST_CASE("pvclock: Linux's formula, and shifts from a broken host") {
  PvClockPage page{};
  page.tsc_timestamp = 1000;
  page.system_time = 5'000'000;
  page.tsc_to_system_mul = 0x8000'0000;
  page.tsc_shift = 1;
  CHECK(pvclock_nanoseconds(page, 1000) == 5'000'000);
  CHECK(pvclock_nanoseconds(page, 3000) == 5'002'000);
  CHECK(pvclock_nanoseconds(page, 999) == 5'000'000);
  page.tsc_shift = -1;
  CHECK(pvclock_nanoseconds(page, 5000) == 5'001'000);
  for (int shift = -128; shift < 128; ++shift) {
    page.tsc_shift = static_cast<std::int8_t>(shift);
    (void)pvclock_nanoseconds(page, UINT64_MAX);
  }
}

namespace {

struct Tables {
  explicit Tables(std::size_t pages)
      : memory(static_cast<std::byte*>(std::aligned_alloc(page_size, pages * page_size)), &std::free),
        tables({memory.get(), pages * page_size}) {}
  std::unique_ptr<std::byte, decltype(&std::free)> memory;
  PageTables tables;
};

constexpr std::uintptr_t mega = 1 << 20;

}  // namespace

TEST_CASE("page tables: what is mapped, and what is not") {
  Tables t(16);
  PageTables& tables = t.tables;
  REQUIRE(tables.map(mega, 16 * mega, Access::read_write));
  REQUIRE(tables.map(mega, mega + 0x3000, Access::read_execute));
  REQUIRE(tables.map(mega + 0x3000, mega + 0x5000, Access::read));
  REQUIRE(tables.map(mega + 0x5000, mega + 0x6000, Access::none));
  REQUIRE(tables.map(0xfee00000, 0xfee01000, Access::device));
  CHECK(tables.access_of(0) == Access::none);
  CHECK(tables.access_of(mega - 1) == Access::none);
  CHECK(tables.access_of(mega) == Access::read_execute);
  CHECK(tables.access_of(mega + 0x2fff) == Access::read_execute);
  CHECK(tables.access_of(mega + 0x3000) == Access::read);
  CHECK(tables.access_of(mega + 0x5000) == Access::none);
  CHECK(tables.access_of(mega + 0x6000) == Access::read_write);
  CHECK(tables.access_of(16 * mega - 1) == Access::read_write);
  CHECK(tables.access_of(16 * mega) == Access::none);
  CHECK(tables.access_of(0xfee00fff) == Access::device);
  CHECK(tables.access_of(0xfee01000) == Access::none);
  CHECK(tables.access_of(UINT64_MAX) == Access::none);
}

TEST_CASE("page tables: large pages, split where a piece changes") {
  Tables t(8);
  PageTables& tables = t.tables;
  const std::size_t before = tables.tables_left();
  REQUIRE(tables.map(4 * mega, 64 * mega, Access::read_write));
  CHECK(before - tables.tables_left() == 2);  // levels 3 and 2 only
  REQUIRE(tables.map(8 * mega + 0x1000, 8 * mega + 0x2000, Access::none));
  CHECK(before - tables.tables_left() == 3);
  CHECK(tables.access_of(8 * mega) == Access::read_write);
  CHECK(tables.access_of(8 * mega + 0x1000) == Access::none);
  CHECK(tables.access_of(8 * mega + 0x2000) == Access::read_write);
  CHECK(tables.access_of(10 * mega) == Access::read_write);
  // Unmapping what is not mapped takes no table.
  REQUIRE(tables.map(1024 * mega, 4096 * mega, Access::none));
  CHECK(before - tables.tables_left() == 3);
}

TEST_CASE("page tables: ranges are rounded outwards, nonsense is refused") {
  Tables t(8);
  REQUIRE(t.tables.map(mega + 1, mega + 2, Access::read));
  CHECK(t.tables.access_of(mega) == Access::read);
  CHECK(t.tables.access_of(mega + 0xfff) == Access::read);
  CHECK_FALSE(t.tables.map(2, 1, Access::read));
  CHECK_FALSE(t.tables.map(0, UINT64_MAX, Access::read));
  CHECK_FALSE(t.tables.map(0, (std::uintptr_t{1} << 47) + 1, Access::read));
}

TEST_CASE("page tables: a pool that runs out is an answer") {
  Tables t(3);
  CHECK_FALSE(t.tables.map(mega, 2 * mega, Access::read));
  Tables none(1);
  CHECK_FALSE(none.tables.map(mega, 2 * mega, Access::read));
  std::byte small[16];
  PageTables nothing({small, sizeof small});
  CHECK_FALSE(nothing.map(mega, 2 * mega, Access::read));
  CHECK(nothing.access_of(mega) == Access::none);
}

TEST_CASE("page tables: the stated pool size suffices") {
  for (const std::size_t memory : {std::size_t{2} << 20, std::size_t{1} << 30, std::size_t{5} << 30}) {
    const std::size_t image = 700'000;
    Tables t(PageTables::pool_size(image, memory) / page_size);
    const std::uintptr_t image_end = page_up(mega + image);
    CHECK(t.tables.map(image_end, page_down(mega + memory - 12345), Access::read_write));
    CHECK(t.tables.map(page_size, 0x9f000, Access::read_write));
    CHECK(t.tables.map(mega, mega + 0x40000, Access::read_execute));
    CHECK(t.tables.map(mega + 0x40000, image_end, Access::read_write));
    for (const std::uintptr_t window : {0xfee00000, 0xfec00000, 0xfeb00000, 0xfe000000}) {
      CHECK(t.tables.map(window, window + page_size, Access::device));
    }
  }
}

TEST_CASE("segments: flags to access, W+X refused") {
  ProgramHeader header{.type = pt_load,
                       .flags = 4,
                       .offset = 0,
                       .virtual_address = 0x100010,
                       .physical_address = 0,
                       .file_size = 0,
                       .memory_size = 0x1000,
                       .alignment = 4096};
  CHECK(segment_of(header).begin == 0x100000);
  CHECK(segment_of(header).end == 0x102000);
  CHECK(segment_of(header).access == Access::read);
  header.flags = 5;
  CHECK(segment_of(header).access == Access::read_execute);
  header.flags = 6;
  CHECK(segment_of(header).access == Access::read_write);
  header.flags = 0;
  CHECK(segment_of(header).access == Access::none);
  header.flags = 7;
  CHECK_FALSE(segment_of(header).valid);
}
