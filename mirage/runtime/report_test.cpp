// SPDX-License-Identifier: ISC
#include <array>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/runtime/report.hpp>

using namespace mirage::runtime;

namespace {

/// A hand-made stack of eight words; frames are pairs {caller's frame pointer, return address}.
struct Stack {
  alignas(16) std::array<std::uintptr_t, 8> words{};
  [[nodiscard]] std::uintptr_t address(std::size_t i) const { return reinterpret_cast<std::uintptr_t>(&words[i]); }
  [[nodiscard]] BacktraceBounds bounds() const { return {std::as_bytes(std::span(words)), 0x100000, 0x110000}; }
  [[nodiscard]] std::vector<std::uintptr_t> trace(const Frame& frame) const {
    std::vector<std::uintptr_t> out(32);
    out.resize(backtrace(frame, bounds(), out));
    return out;
  }
};

using Addresses = std::vector<std::uintptr_t>;

}  // namespace

TEST_CASE("frame pointers are followed to the outermost frame") {
  Stack s;
  s.words = {7, 7, s.address(4), 0x100101, s.address(6), 0x100201, 0, 0x100301};
  CHECK(s.trace({0x100042, s.address(0), s.address(2)}) == Addresses{0x100042, 0x100100, 0x100200, 0x100300});
}

TEST_CASE("a leaf without a frame shows its caller") {
  Stack s;
  s.words = {0x100055, 7, 0, 0x100101, 0, 0, 0, 0};
  CHECK(s.trace({0x100042, s.address(0), s.address(2)}) == Addresses{0x100042, 0x100054, 0x100100});
}

TEST_CASE("broken chains end the trace and nothing outside the stack is read") {
  Stack s;
  s.words = {0, 0, s.address(2), 0x100101, 0, 0, 0, 0x100101};
  const Addresses one{0x100042, 0x100100};
  CHECK(s.trace({0x100042, s.address(0), s.address(2)}) == one);                  // points at itself
  CHECK(s.trace({0x100042, s.address(0), s.address(7)}) == Addresses{0x100042});  // runs off the end
  CHECK(s.trace({0x100042, s.address(0), s.address(2) + 1}) == Addresses{0x100042});
  CHECK(s.trace({0x100042, 0, 0}) == Addresses{0x100042});
  CHECK(s.trace({0x100042, UINTPTR_MAX - 7, UINTPTR_MAX - 7}) == Addresses{0x100042});
  s.words[3] = 0x90000;  // not code
  CHECK(s.trace({0x100042, s.address(0), s.address(2)}) == Addresses{0x100042});
  CHECK(backtrace({0x100042, 0, 0}, {}, {}) == 0);
}

TEST_CASE("the report's text") {
  Stack s;
  s.words = {7, 7, 0, 0x100101, 0, 0, 0, 0};
  const std::array<std::uint64_t, 5> values{1, 0xdeadbeef, 3, 4, 5};
  const FaultReport report{"page fault", 0x28, 2, {0x100042, s.address(0), s.address(2)}, {"raxrbxrcx r8rip", values}};
  std::array<char, 2048> memory;
  CHECK(std::string(format_fault(report, s.bounds(), memory)) ==
        "fault: page fault, address 0x0000000000000028, error code 0x2\n"
        "rax=0x0000000000000001 rbx=0x00000000deadbeef rcx=0x0000000000000003  r8=0x0000000000000004\n"
        "rip=0x0000000000000005\n"
        "backtrace (newest first):\n"
        "  at 0x0000000000100042\n"
        "  at 0x0000000000100100\n");
  std::array<char, 40> small;
  CHECK(format_fault(report, s.bounds(), small).size() == 40);
}
