// SPDX-License-Identifier: ISC
// mirage::platform on hvt.
#include <algorithm>
#include <array>
#include <cstring>

#include <mirage/machine/x86_64/fault.hpp>
#include <mirage/machine/x86_64/processor/entropy.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/target/hvt/guest/boot.hpp>

namespace mirage::platform {

namespace hvt = target::hvt;
namespace solo5 = target::solo5;

namespace {

bool ask_tender(std::span<std::byte> out) noexcept {
  if (!hvt::granted(solo5::reseed)) return false;
  while (!out.empty()) {
    hvt::EntropyCall call{hvt::address_of(out.data()), std::min(out.size(), hvt::entropy_limit), 0, 0};
    hvt::hypercall(hvt::Hypercall::entropy, call);
    if (!hvt::succeeded(call.result)) return false;
    out = out.subspan(call.length);
  }
  return true;
}

bool ask_processor(std::span<std::byte> out) noexcept {
  return machine::HardwareEntropy{}.fill(out.data(), out.size());
}

/// The registers of the fault that is being reported: trap.S has put them at the top of a fault stack, on which this
/// then runs. Nothing when it does not.
const machine::TrapFrame* current_fault() noexcept {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto frame_on = [&](std::span<const std::byte> stack) -> const machine::TrapFrame* {
    const std::uintptr_t end = hvt::address_of(stack.data()) + stack.size();
    if (here < hvt::address_of(stack.data()) || here >= end) return nullptr;
    return reinterpret_cast<const machine::TrapFrame*>(end - sizeof(machine::TrapFrame));  // NOLINT
  };
  const machine::TrapFrame* first = frame_on(hvt::guest.tables.fault_stack);
  return first != nullptr ? first : frame_on(hvt::guest.tables.double_fault_stack);
}

/// A halt cookie with as much memory behind it as the ABI wants.
union CookieSpace {
  hvt::HaltCookie cookie;
  std::array<std::byte, hvt::halt_cookie_size> space;
};

[[noreturn]] void halt(int status, const CookieSpace* cookie) noexcept {
  hvt::HaltCall call{hvt::address_of(cookie), status & 0xff, 0};
  for (;;) hvt::hypercall(hvt::Hypercall::halt, call);
}

}  // namespace

std::uint64_t monotonic_ns() noexcept { return hvt::guest.clock.monotonic_ns(); }

/// Asked of the tender every time: the host's clock is kept right by others, and nobody asks often.
std::uint64_t wall_ns() noexcept {
  hvt::WallTimeCall call{0};
  hvt::hypercall(hvt::Hypercall::wall_time, call);
  return call.nanoseconds;
}

void console_write(std::span<const char> text) noexcept {
  if (text.empty()) return;
  hvt::PutsCall call{hvt::address_of(text.data()), text.size()};
  hvt::hypercall(hvt::Hypercall::puts, call);
}

void exit(int status) noexcept { halt(status, nullptr); }

void abort(std::string_view reason) noexcept {
  std::array<char, 256> line;
  const std::size_t size = std::min(reason.size(), line.size() - 1);
  std::memcpy(line.data(), reason.data(), size);
  line[size] = '\n';
  console_write(std::span(line).first(size + 1));
  const machine::TrapFrame* const fault = current_fault();
  if (fault == nullptr) halt(hvt::abort_status, nullptr);
  CookieSpace space{};
  space.cookie = {machine::read_cr2(), fault->error_code, fault->rip,        fault->cs, fault->rflags,
                  fault->rsp,          fault->ss,         hvt::cookie_magic, {}};
  static_assert(sizeof space.cookie.general == offsetof(machine::TrapFrame, vector), "the same registers, same order");
  std::memcpy(space.cookie.general, fault, sizeof space.cookie.general);
  halt(hvt::abort_status, &space);
}

bool entropy(std::span<std::byte> out) noexcept {
  return solo5::take_seed(hvt::guest.extension, out) || ask_tender(out) || ask_processor(out);
}

bool set_thread_pointer(std::uintptr_t pointer) noexcept {
  machine::write_msr(machine::msr_fs_base, pointer);
  return true;
}

}  // namespace mirage::platform
