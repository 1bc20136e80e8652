// SPDX-License-Identifier: ISC
#include <array>

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <tender/memory.hpp>

using namespace mirage::tender;

TEST_CASE("the gate lets in what lies inside, and nothing that wraps") {
  std::array<std::byte, 0x1000> host{};
  const GuestMemory memory{host.data(), 0x10000, 0x11000};
  const auto window = [&](std::uint64_t address, std::uint64_t length) {
    return memory.window(GuestAddress{address}, length, Access::none);
  };
  REQUIRE(window(0x10010, 16));
  CHECK(window(0x10010, 16)->data() == host.data() + 16);
  CHECK(window(0x10000, 0x1000));
  CHECK(window(0x11000, 0));
  CHECK(!window(0x10000, 0x1001));
  CHECK(!window(0xffff, 1));
  CHECK(!window(0x11000, 1));
  CHECK(!window(0x10fff, ~std::uint64_t{0}));
  CHECK(!window(~std::uint64_t{0}, 2));
  CHECK(!window(0, 0));
}

TEST_CASE("the gate knows what is protected: nothing passes that would fault") {
  auto memory = map_guest_memory(0, 16 * page_size, false);
  REQUIRE(memory);
  const auto at = [](std::uint64_t page) { return GuestAddress{page * page_size}; };
  REQUIRE(memory->protect(at(4), 2 * page_size, PROT_READ));
  REQUIRE(memory->protect(at(6), page_size, PROT_NONE));
  CHECK(!memory->protect(at(15), 2 * page_size, PROT_READ));
  const auto opens = [&](std::uint64_t address, std::uint64_t length, Access access) {
    return memory->window(GuestAddress{address}, length, access).has_value();
  };
  for (const Access access : {Access::none, Access::read, Access::write, Access::read_write}) {
    CAPTURE(static_cast<int>(access));
    const bool reads = access == Access::none || access == Access::read;
    CHECK(opens(0, 4 * page_size, access));
    CHECK(opens(7 * page_size, 9 * page_size, access));
    CHECK(opens(4 * page_size, 2 * page_size, access) == reads);
    CHECK(opens(4 * page_size - 1, 2, access) == reads);
    CHECK(opens(6 * page_size - 1, 1, access) == reads);
    CHECK(opens(6 * page_size - 1, 2, access) == (access == Access::none));
    CHECK(opens(7 * page_size - 1, 2, access) == (access == Access::none));
    CHECK(opens(0, 16 * page_size, access) == (access == Access::none));
    CHECK(opens(6 * page_size + 8, 0, access));
  }
  CHECK(memory->protection(at(3)) == (PROT_READ | PROT_WRITE));
  CHECK(memory->protection(at(5)) == PROT_READ);
  CHECK(memory->protection(at(6)) == PROT_NONE);
  ::munmap(memory->host(), 16 * page_size);
}

TEST_CASE("checked arithmetic") {
  CHECK(checked_add(std::uint64_t{1}, std::uint64_t{2}) == 3);
  CHECK(!checked_add(~std::uint64_t{0}, std::uint64_t{1}));
  CHECK(!checked_multiply(std::uint64_t{1} << 32, std::uint64_t{1} << 32));
  CHECK(page_up(1) == 4096);
  CHECK(!page_up(~std::uint64_t{0}));
}

TEST_CASE("guest memory is mapped where it is free only") {
  const auto memory = map_guest_memory(0, 1 << 20, false);
  REQUIRE(memory);
  const auto start = reinterpret_cast<std::uint64_t>(memory->host());
  CHECK(!map_guest_memory(start, start + (1 << 20), true));
  ::munmap(memory->host(), 1 << 20);
}
