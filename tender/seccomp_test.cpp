// SPDX-License-Identifier: ISC
#include <array>
#include <random>

#include <doctest/doctest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include <tender/seccomp.hpp>

using namespace mirage::tender;

namespace {

using Call = seccomp_data;

Call make_call(int number, std::array<std::uint64_t, 4> arguments = {}) {
  Call call{};
  call.nr = number;
  call.arch = AUDIT_ARCH_X86_64;
  for (std::size_t i = 0; i < arguments.size(); ++i) call.args[i] = arguments[i];
  return call;
}

/// The kernel's classic BPF machine, as far as seccomp admits it.
class Machine {
 public:
  explicit Machine(const Call& call) : call_(call) {}

  bool allows(std::span<const sock_filter> program) {
    for (std::size_t at = 0; at < program.size(); ++at) {
      const sock_filter& step = program[at];
      if (BPF_CLASS(step.code) == BPF_RET) return step.k == SECCOMP_RET_ALLOW;
      if (BPF_CLASS(step.code) == BPF_JMP) {
        at += jump(step);
      } else {
        execute(step);
      }
    }
    FAIL("the program runs off its end");
    return false;
  }

 private:
  std::size_t jump(const sock_filter& step) const {
    const std::uint32_t operand = BPF_SRC(step.code) == BPF_X ? x_ : step.k;
    switch (BPF_OP(step.code)) {
      case BPF_JA:
        return step.k;
      case BPF_JEQ:
        return a_ == operand ? step.jt : step.jf;
      case BPF_JGT:
        return a_ > operand ? step.jt : step.jf;
      case BPF_JGE:
        return a_ >= operand ? step.jt : step.jf;
      default:
        FAIL("unknown jump");
        return 0;
    }
  }

  void execute(const sock_filter& step) {
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a_, reinterpret_cast<const char*>(&call_) + step.k, sizeof a_);
        return;
      case BPF_LD | BPF_IMM:
        a_ = step.k;
        return;
      case BPF_LDX | BPF_MEM:
        x_ = memory_.at(step.k);
        return;
      case BPF_ST:
        memory_.at(step.k) = a_;
        return;
      case BPF_MISC | BPF_TAX:
        x_ = a_;
        return;
      case BPF_ALU | BPF_SUB | BPF_X:
        a_ -= x_;
        return;
      case BPF_ALU | BPF_AND | BPF_K:
        a_ &= step.k;
        return;
      default:
        FAIL("unknown instruction");
    }
  }

  Call call_;
  std::uint32_t a_ = 0;
  std::uint32_t x_ = 0;
  std::array<std::uint32_t, 16> memory_{};
};

/// A number near a boundary of 32 or 64 bits, or near `center`.
std::uint64_t interesting(std::mt19937_64& generator, std::uint64_t center) {
  const std::uint64_t bases[] = {0, center, std::uint64_t{1} << 32, ~std::uint64_t{0}, generator(), generator() >> 32};
  return bases[generator() % std::size(bases)] + generator() % 9 - 4;
}

/// Compares a rule for system call 7 with what it should mean, on random arguments.
template <class Meaning>
void compare(std::initializer_list<Condition> conditions, std::uint64_t center, Meaning meaning) {
  SeccompFilter filter;
  filter.allow(1);
  filter.allow(7, conditions);
  filter.allow(9);
  const auto program = filter.program();
  REQUIRE(program);
  std::mt19937_64 generator{center};
  for (int i = 0; i < 20'000; ++i) {
    const std::array<std::uint64_t, 4> arguments{interesting(generator, center), interesting(generator, center),
                                                 interesting(generator, center), interesting(generator, center)};
    CHECK(Machine{make_call(7, arguments)}.allows(*program) == meaning(arguments));
  }
  CHECK(Machine{make_call(1)}.allows(*program));
  CHECK(Machine{make_call(9)}.allows(*program));
  CHECK(!Machine{make_call(8)}.allows(*program));
}

}  // namespace

TEST_CASE("another architecture's calls are killed") {
  SeccompFilter filter;
  filter.allow(1);
  const auto program = filter.program();
  REQUIRE(program);
  Call call = make_call(1);
  call.arch = AUDIT_ARCH_I386;
  CHECK(!Machine{call}.allows(*program));
  CHECK(!Machine{make_call(0x40000001)}.allows(*program));
  CHECK(program->back().k == SECCOMP_RET_KILL_PROCESS);
}

TEST_CASE("conditions compare 64 bits") {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{0xffffffff},
                                    std::uint64_t{1} << 32, std::uint64_t{0x1234567890}, ~std::uint64_t{0}}) {
    compare({equal(2, value)}, value, [=](const auto& a) { return a[2] == value; });
    compare({at_most(1, value)}, value, [=](const auto& a) { return a[1] <= value; });
    compare({masked(3, 511, 0)}, value, [=](const auto& a) { return a[3] % 512 == 0; });
    compare({masked(0, 0xffffffff, value & 0xffffffff)}, value,
            [=](const auto& a) { return static_cast<std::uint32_t>(a[0]) == static_cast<std::uint32_t>(value); });
  }
}

TEST_CASE("ranges within a device") {
  for (const std::uint64_t end :
       {std::uint64_t{0}, std::uint64_t{512}, std::uint64_t{1} << 20, std::uint64_t{0xffffffff}, std::uint64_t{1} << 32,
        (std::uint64_t{1} << 32) + 4096, std::uint64_t{0x7fffffffffffffff}, ~std::uint64_t{0}}) {
    compare({range_within(3, 2, end)}, end,
            [=](const auto& a) { return a[2] <= 0xffffffff && a[2] <= end && a[3] <= end - a[2]; });
    compare({equal(0, 3), at_most(2, 4096), range_within(3, 2, end), masked(3, 1, 0)}, end, [=](const auto& a) {
      return a[0] == 3 && a[2] <= 4096 && a[2] <= end && a[3] <= end - a[2] && a[3] % 2 == 0;
    });
  }
}

TEST_CASE("a filter that does not fit is an error") {
  SeccompFilter filter;
  for (int i = 0; i < 2000; ++i) filter.allow(i);
  CHECK(!filter.program());
}
