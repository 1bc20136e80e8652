// SPDX-License-Identifier: ISC
// mirage::platform on spt.
#include <algorithm>
#include <array>
#include <cstring>

#include <mirage/machine/x86_64/processor/entropy.hpp>
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

bool ask_processor(std::span<std::byte> out) noexcept {
  return machine::HardwareEntropy{}.fill(out.data(), out.size());
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

bool entropy(std::span<std::byte> out) noexcept {
  return solo5::take_seed(spt::extension(), out) || ask_host(out) || ask_processor(out);
}

bool set_thread_pointer(std::uintptr_t pointer) noexcept {
  return call::make(Number::arch_prctl, call::set_fs, static_cast<long>(pointer)) == 0;
}

}  // namespace mirage::platform
