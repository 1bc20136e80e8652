// SPDX-License-Identifier: ISC
// mirage::platform on spt.
#include <algorithm>
#include <array>
#include <cstring>

#include <cpuid.h>
#include <immintrin.h>

#include <mirage/runtime/platform.hpp>
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>

namespace mirage::platform {

namespace spt = target::spt;
namespace solo5 = target::solo5;
namespace call = target::spt::call;
using call::Number;

namespace {

using ClockFunction = int (*)(int clock, call::Timespec* time);

std::uint64_t read_clock(int clock) noexcept {
  call::Timespec time{};
  const solo5::Extension* extension = spt::extension();
  const std::uintptr_t function = extension == nullptr ? 0 : extension->clock_function;
  if (function != 0) {
    reinterpret_cast<ClockFunction>(function)(clock, &time);  // NOLINT(performance-no-int-to-ptr)
  } else {
    call::make(Number::clock_gettime, clock, call::address(&time));
  }
  return static_cast<std::uint64_t>(time.seconds) * 1'000'000'000 + static_cast<std::uint64_t>(time.nanoseconds);
}

/// The tender's seed, once: it is wiped as it is used.
bool take_seed(std::span<std::byte> out) noexcept {
  solo5::Extension* extension = spt::extension();
  if (extension == nullptr || out.size() > solo5::seed_size / 2) return false;
  for (std::size_t half = 0; half < 2; ++half) {
    const auto seed = std::span(extension->seed).subspan(half * solo5::seed_size / 2, solo5::seed_size / 2);
    if (std::ranges::all_of(seed, [](std::uint8_t byte) { return byte == 0; })) continue;
    std::memcpy(out.data(), seed.data(), out.size());
    std::ranges::fill(seed, std::uint8_t{0});
    return true;
  }
  return false;
}

/// The host's generator, when our tender allows it.
bool ask_host(std::span<std::byte> out) noexcept {
  constexpr std::size_t limit = 256;
  if (!spt::granted(solo5::reseed)) return false;
  while (!out.empty()) {
    const std::size_t size = std::min(out.size(), limit);
    const long count = call::make(Number::getrandom, call::address(out.data()), static_cast<long>(size));
    if (count <= 0) return false;
    out = out.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

[[gnu::target("rdseed")]] bool step_seed(unsigned long long& value) noexcept { return _rdseed64_step(&value) != 0; }
[[gnu::target("rdrnd")]] bool step_random(unsigned long long& value) noexcept { return _rdrand64_step(&value) != 0; }

/// Fills `out` from `step`, which may fail now and then: Intel's guide asks for retries.
bool fill(std::span<std::byte> out, bool (*step)(unsigned long long&) noexcept, int retries) noexcept {
  while (!out.empty()) {
    unsigned long long value = 0;
    int left = retries;
    while (!step(value)) {
      if (--left == 0) return false;
      _mm_pause();
    }
    const std::size_t size = std::min(out.size(), sizeof value);
    std::memcpy(out.data(), &value, size);
    out = out.subspan(size);
  }
  return true;
}

bool ask_cpu(std::span<std::byte> out) noexcept {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & bit_RDSEED) != 0 && fill(out, step_seed, 1000)) {
    return true;
  }
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_RDRND) != 0 && fill(out, step_random, 10);
}

}  // namespace

std::uint64_t monotonic_ns() noexcept { return read_clock(call::clock_monotonic); }

std::uint64_t wall_ns() noexcept { return read_clock(call::clock_realtime); }

void console_write(std::span<const char> text) noexcept {
  while (!text.empty()) {
    const long count = call::make(Number::write, 1, call::address(text.data()), static_cast<long>(text.size()));
    if (count == call::error_interrupted) continue;
    if (count <= 0) return;
    text = text.subspan(static_cast<std::size_t>(count));
  }
}

void exit(int status) noexcept {
  for (;;) call::make(Number::exit_group, status);
}

void abort(std::string_view reason) noexcept {
  std::array<char, 256> line;
  const std::size_t size = std::min(reason.size(), line.size() - 1);
  std::memcpy(line.data(), reason.data(), size);
  line[size] = '\n';
  console_write(std::span(line).first(size + 1));
  exit(255);
}

bool entropy(std::span<std::byte> out) noexcept { return take_seed(out) || ask_host(out) || ask_cpu(out); }

bool set_thread_pointer(std::uintptr_t pointer) noexcept {
  return call::make(Number::arch_prctl, call::set_fs, static_cast<long>(pointer)) == 0;
}

}  // namespace mirage::platform
