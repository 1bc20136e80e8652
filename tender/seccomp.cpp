// SPDX-License-Identifier: ISC
#include <cerrno>

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tender/seccomp.hpp>

#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif

namespace mirage::tender {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t audit_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t audit_architecture = AUDIT_ARCH_AARCH64;
#endif

constexpr std::uint16_t load_word = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t if_equal = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t if_greater = BPF_JMP | BPF_JGT | BPF_K;
constexpr std::uint16_t if_greater_x = BPF_JMP | BPF_JGT | BPF_X;
constexpr std::uint16_t if_at_least_x = BPF_JMP | BPF_JGE | BPF_X;
constexpr std::uint16_t jump = BPF_JMP | BPF_JA;
constexpr std::uint16_t answer = BPF_RET | BPF_K;

/// Marks the branch of a conditional jump that leads to the next rule; `allow` fills in how far that is.
constexpr std::uint8_t miss = 255;

constexpr std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
constexpr std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

}  // namespace

SeccompFilter::SeccompFilter() {
  emit(load_word, offsetof(seccomp_data, arch));
  emit(if_equal, audit_architecture, 1, 0);
  emit(answer, SECCOMP_RET_KILL_PROCESS);
}

void SeccompFilter::emit(std::uint16_t code, std::uint32_t k, std::uint8_t jt, std::uint8_t jf) {
  if (size_ == code_.size()) {
    overflow_ = true;
    return;
  }
  code_[size_++] = {code, jt, jf, k};
}

void SeccompFilter::load(unsigned argument, bool upper) {
  emit(load_word, static_cast<std::uint32_t>(offsetof(seccomp_data, args) + argument * 8 + (upper ? 4 : 0)));
}

/// offset + length <= end, in 64 bits, from 32-bit operations: offset <= limit where limit = end - length.
void SeccompFilter::range(const Condition& rule) {
  load(rule.other, true);
  emit(if_equal, 0, 0, miss);  // lengths of 4 GiB and more
  if (high(rule.value) == 0) {
    load(rule.other, false);
    emit(if_greater, low(rule.value), miss, 0);  // length > end: the difference would wrap
  }
  load(rule.other, false);
  emit(BPF_MISC | BPF_TAX, 0);
  emit(BPF_LD | BPF_IMM, low(rule.value));
  emit(BPF_ALU | BPF_SUB | BPF_X, 0);
  emit(BPF_ST, 0);  // M[0] = low half of limit
  emit(BPF_LD | BPF_IMM, low(rule.value));
  emit(if_at_least_x, 0, 0, 2);  // borrow?
  emit(BPF_LD | BPF_IMM, high(rule.value));
  emit(jump, 1);
  emit(BPF_LD | BPF_IMM, high(rule.value) - 1);  // only reached when high(value) > 0
  emit(BPF_ST, 1);                               // M[1] = high half of limit
  load(rule.argument, true);
  emit(BPF_LDX | BPF_MEM, 1);
  emit(if_greater_x, 0, miss, 0);
  emit(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 3);  // below in the high half: the low one does not matter
  load(rule.argument, false);
  emit(BPF_LDX | BPF_MEM, 0);
  emit(if_greater_x, 0, miss, 0);
}

void SeccompFilter::condition(const Condition& rule) {
  switch (rule.kind) {
    case Condition::Kind::equal:
      load(rule.argument, true);
      emit(if_equal, high(rule.value), 0, miss);
      load(rule.argument, false);
      emit(if_equal, low(rule.value), 0, miss);
      return;
    case Condition::Kind::at_most:
      load(rule.argument, true);
      emit(if_greater, high(rule.value), miss, 0);
      emit(if_equal, high(rule.value), 0, 2);
      load(rule.argument, false);
      emit(if_greater, low(rule.value), miss, 0);
      return;
    case Condition::Kind::masked:
      load(rule.argument, true);
      emit(BPF_ALU | BPF_AND | BPF_K, high(rule.mask));
      emit(if_equal, high(rule.value), 0, miss);
      load(rule.argument, false);
      emit(BPF_ALU | BPF_AND | BPF_K, low(rule.mask));
      emit(if_equal, low(rule.value), 0, miss);
      return;
    case Condition::Kind::range_within:
      range(rule);
      return;
  }
}

void SeccompFilter::allow(long number, std::initializer_list<Condition> conditions) {
  emit(load_word, offsetof(seccomp_data, nr));
  const std::size_t start = size_;
  emit(if_equal, static_cast<std::uint32_t>(number), 0, miss);
  for (const Condition& rule : conditions) {
    condition(rule);
  }
  emit(answer, SECCOMP_RET_ALLOW);
  for (std::size_t i = start; i < size_; ++i) {
    const std::size_t distance = size_ - i - 1;
    if (code_[i].jt != miss && code_[i].jf != miss) {
      continue;
    }
    overflow_ = overflow_ || distance >= miss;
    code_[i].jt = code_[i].jt == miss ? static_cast<std::uint8_t>(distance) : code_[i].jt;
    code_[i].jf = code_[i].jf == miss ? static_cast<std::uint8_t>(distance) : code_[i].jf;
  }
}

Result<std::span<const sock_filter>> SeccompFilter::program() {
  emit(answer, SECCOMP_RET_KILL_PROCESS);
  if (overflow_) {
    return fail("the system call filter became too long");
  }
  return std::span<const sock_filter>{code_.data(), size_};
}

Result<> SeccompFilter::install() {
  const auto finished = program();
  if (!finished) {
    return std::unexpected{finished.error()};
  }
  const sock_fprog description{static_cast<unsigned short>(finished->size()),
                               const_cast<sock_filter*>(finished->data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &description) != 0) {
    return fail("cannot install the system call filter: ", Errno{errno});
  }
  return {};
}

}  // namespace mirage::tender
