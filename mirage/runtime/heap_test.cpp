// SPDX-License-Identifier: ISC
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/runtime/heap.hpp>

using mirage::runtime::Heap;
using mirage::runtime::HeapFault;

namespace {

std::optional<HeapFault> last_fault;
void record(HeapFault fault, const void* /*pointer*/) noexcept { last_fault = fault; }

/// A heap over memory that starts out as garbage, as a guest's may.
struct Fixture {
  explicit Fixture(std::size_t size) : memory(new(std::align_val_t{4096}) std::byte[size]), size(size) {
    last_fault.reset();
    std::memset(memory, 0xa5, size);
    heap.set_up(record, 0x1234'5678'9abc'def0);
    REQUIRE(heap.add_region({memory, size}));
  }
  ~Fixture() { ::operator delete[](memory, std::align_val_t{4096}); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  std::byte* memory;
  std::size_t size;
  Heap heap;
};

}  // namespace

TEST_CASE("allocations are aligned, apart and come back whole") {
  Fixture f(64 * 1024);
  void* a = f.heap.allocate(1);
  void* b = f.heap.allocate(100);
  void* zero = f.heap.allocate(0);
  REQUIRE(a != nullptr);
  REQUIRE(zero != nullptr);
  CHECK(reinterpret_cast<std::uintptr_t>(a) % 16 == 0);
  CHECK(f.heap.usable_size(a) >= 1);
  CHECK(f.heap.usable_size(b) >= 100);
  CHECK(f.heap.owns(b));
  CHECK_FALSE(f.heap.owns(static_cast<std::byte*>(b) + 16));
  CHECK(f.heap.statistics().allocations == 3);
  f.heap.release(a);
  f.heap.release(b);
  f.heap.release(zero);
  f.heap.release(nullptr);
  CHECK(f.heap.statistics().used == 0);
  CHECK(f.heap.statistics().peak > 0);
  CHECK(f.heap.consistent());
  CHECK_FALSE(last_fault.has_value());
  // Everything is one block again: nearly all of it can be had at once.
  CHECK(f.heap.allocate(f.size - 16) != nullptr);
}

TEST_CASE("running out is a value and is counted") {
  Fixture f(8192);
  CHECK(f.heap.allocate(8192) == nullptr);
  CHECK(f.heap.allocate(SIZE_MAX) == nullptr);
  CHECK(f.heap.allocate(SIZE_MAX - 8) == nullptr);
  CHECK(f.heap.allocate(16, std::size_t{1} << 60) == nullptr);
  // Each of them fits a count of granules, their sum does not.
  for (const std::size_t alignment : {std::size_t{1} << 34, std::size_t{1} << 35}) {
    CHECK(f.heap.allocate(std::size_t{1} << 35, alignment) == nullptr);
    CHECK(f.heap.allocate((std::size_t{1} << 35) - 64, alignment) == nullptr);
    CHECK(f.heap.allocate(16, alignment) == nullptr);
  }
  CHECK_FALSE(last_fault.has_value());
  CHECK(f.heap.statistics().failures == 10);
  void* a = f.heap.allocate(100);
  CHECK(f.heap.resize(a, 100'000) == nullptr);
  CHECK(f.heap.owns(a));
  CHECK(f.heap.consistent());
}

TEST_CASE("large alignments") {
  Fixture f(1 << 20);
  for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
    for (const std::size_t size : {1u, 24u, 4096u}) {
      void* p = f.heap.allocate(size, alignment);
      REQUIRE(p != nullptr);
      CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
      CHECK(f.heap.consistent());
      f.heap.release(p);
    }
  }
  CHECK(f.heap.statistics().used == 0);
}

TEST_CASE("resize grows in place, moves, shrinks and keeps the content") {
  Fixture f(64 * 1024);
  auto* a = static_cast<std::byte*>(f.heap.allocate(32));
  std::memset(a, 0x11, 32);
  auto* grown = static_cast<std::byte*>(f.heap.resize(a, 1000));
  CHECK(grown == a);
  void* wall = f.heap.allocate(16);
  auto* moved = static_cast<std::byte*>(f.heap.resize(grown, 5000));
  CHECK(moved != grown);
  CHECK(moved[31] == std::byte{0x11});
  CHECK(f.heap.resize(moved, 10) == moved);
  CHECK(f.heap.usable_size(moved) < 64);
  CHECK(f.heap.consistent());
  f.heap.release(moved);
  f.heap.release(wall);
  CHECK(f.heap.statistics().used == 0);
}

TEST_CASE("two regions, neither joined to the other") {
  alignas(16) static std::byte low[1024];
  Fixture f(4096);
  CHECK(f.heap.add_region(low));
  CHECK_FALSE(f.heap.add_region(std::span(low).first(8)));
  CHECK(f.heap.statistics().capacity == 4096 + 1024);
  void* a = f.heap.allocate(4000);
  void* b = f.heap.allocate(900);
  CHECK(a != nullptr);
  CHECK(b != nullptr);
  f.heap.release(a);
  f.heap.release(b);
  CHECK(f.heap.consistent());
}

TEST_CASE("untouched memory stays untouched") {
  Fixture f(1 << 20);
  void* a = f.heap.allocate(4096);
  void* b = f.heap.allocate(100);
  f.heap.release(a);
  f.heap.release(b);
  std::size_t touched = 0;
  for (std::size_t i = 16384; i < f.size; ++i) touched += f.memory[i] != std::byte{0xa5} ? 1u : 0u;
  CHECK(touched == 0);
}

TEST_CASE("double free and foreign pointers are faults") {
  Fixture f(64 * 1024);
  void* a = f.heap.allocate(100);
  void* b = f.heap.allocate(100);
  void* c = f.heap.allocate(100);
  f.heap.release(b);
  f.heap.release(b);
  CHECK(last_fault == HeapFault::double_free);
  last_fault.reset();
  f.heap.release(a);
  f.heap.release(b);  // joined into a by now
  CHECK(last_fault == HeapFault::double_free);
  int outside = 0;
  f.heap.release(&outside);
  CHECK(last_fault == HeapFault::foreign_pointer);
  f.heap.release(static_cast<std::byte*>(c) + 8);
  CHECK(last_fault == HeapFault::foreign_pointer);
  last_fault.reset();
  f.heap.release(static_cast<std::byte*>(c) + 16);
  CHECK(last_fault == HeapFault::corrupt_header);
  CHECK(f.heap.consistent());
}

TEST_CASE("an overrun is found when the block is freed") {
  Fixture f(64 * 1024);
  auto* a = static_cast<std::byte*>(f.heap.allocate(32));
  void* b = f.heap.allocate(32);
  std::memset(a, 0x41, 48);
  f.heap.release(b);
  CHECK(last_fault == HeapFault::corrupt_header);
  last_fault.reset();
  f.heap.release(a);
  CHECK(last_fault == HeapFault::corrupt_header);
  CHECK_FALSE(f.heap.consistent());
}

TEST_CASE("a write into freed memory is found before the list is followed") {
  Fixture f(64 * 1024);
  auto* a = static_cast<std::byte*>(f.heap.allocate(64));
  void* wall = f.heap.allocate(16);
  f.heap.release(a);
  std::memset(a, 0x42, 16);
  CHECK(f.heap.allocate(64) == nullptr);
  CHECK(last_fault == HeapFault::corrupt_free_list);
  f.heap.release(wall);
}

TEST_CASE("random operations keep the heap consistent and contents apart") {
  for (const std::uint32_t seed : {1u, 2u, 3u, 4u}) {
    Fixture f(256 * 1024);
    struct Live {
      std::byte* at;
      std::size_t size;
      std::byte fill;
    };
    std::vector<Live> live;
    std::mt19937 random(seed);
    const auto whole = [](const Live& l, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) {
        if (l.at[i] != l.fill) return false;
      }
      return true;
    };
    for (int step = 0; step < 20'000; ++step) {
      const std::size_t size = random() % 8 == 0 ? random() % 20'000 : random() % 300;
      const unsigned action = random() % 5;
      if (action < 2 || live.empty()) {
        const std::size_t alignment = std::size_t{1} << random() % 9;
        if (auto* p = static_cast<std::byte*>(f.heap.allocate(size, alignment)); p != nullptr) {
          const auto fill = static_cast<std::byte>(random());
          std::memset(p, static_cast<int>(fill), size);
          live.push_back({p, size, fill});
        }
        continue;
      }
      const std::size_t index = random() % live.size();
      Live& chosen = live[index];
      REQUIRE(whole(chosen, chosen.size));
      if (action == 2) {
        if (auto* p = static_cast<std::byte*>(f.heap.resize(chosen.at, size)); p != nullptr) {
          const std::size_t kept = std::min(size, chosen.size);
          chosen = {p, size, chosen.fill};
          REQUIRE(whole(chosen, kept));
          std::memset(p, static_cast<int>(chosen.fill), size);
        }
      } else {
        f.heap.release(chosen.at);
        chosen = live.back();
        live.pop_back();
      }
      if (step % 64 == 0) REQUIRE(f.heap.consistent());
    }
    for (const Live& l : live) f.heap.release(l.at);
    CHECK(f.heap.consistent());
    CHECK(f.heap.statistics().used == 0);
    CHECK_FALSE(last_fault.has_value());
    CHECK(f.heap.allocate(256 * 1024 - 16) != nullptr);
  }
}
