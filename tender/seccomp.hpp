// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <linux/filter.h>

#include <tender/error.hpp>

/// Assembles seccomp filters without a library: a bounded list of rules becomes BPF in microseconds, with 64-bit
/// comparisons of arguments. What no rule allows kills the process (SECCOMP_RET_KILL_PROCESS).
namespace mirage::tender {

/// A condition on one argument of a system call; all conditions of a rule must hold.
struct Condition {
  enum class Kind : std::uint8_t {
    equal,        // argument == value
    at_most,      // argument <= value (unsigned, 64 bits)
    masked,       // (argument & mask) == value
    range_within  // argument + arguments[other] <= value, without wrapping
  };
  unsigned argument;
  Kind kind;
  std::uint64_t value;
  std::uint64_t mask = 0;
  unsigned other = 0;
};

constexpr Condition equal(unsigned argument, std::uint64_t value) { return {argument, Condition::Kind::equal, value}; }
constexpr Condition at_most(unsigned argument, std::uint64_t value) {
  return {argument, Condition::Kind::at_most, value};
}
constexpr Condition masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, Condition::Kind::masked, value, mask};
}
/// offset + length <= end; combine with at_most(length, ...).
constexpr Condition range_within(unsigned offset, unsigned length, std::uint64_t end) {
  return {offset, Condition::Kind::range_within, end, 0, length};
}

class SeccompFilter {
 public:
  SeccompFilter();

  /// Allows system call `number` when all `conditions` hold. Several rules for one call: any suffices.
  void allow(long number, std::initializer_list<Condition> conditions = {});

  /// The finished program; an error when the rules did not fit (4096 instructions, the kernel's bound).
  Result<std::span<const sock_filter>> program();

  /// Sets no_new_privs and installs the filter for the calling process; nothing but allowed calls from here on.
  Result<> install();

 private:
  void emit(std::uint16_t code, std::uint32_t k, std::uint8_t jt = 0, std::uint8_t jf = 0);
  void condition(const Condition& condition);
  void load(unsigned argument, bool high);
  void range(const Condition& condition);

  std::array<sock_filter, 4096> code_;
  std::size_t size_ = 0;
  bool overflow_ = false;
};

}  // namespace mirage::tender
