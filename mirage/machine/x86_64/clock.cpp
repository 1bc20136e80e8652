// SPDX-License-Identifier: ISC
#include <cstring>

#include <mirage/machine/x86_64/clock.hpp>
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/real_time.hpp>

namespace mirage::machine {

namespace {

// Documentation/virt/kvm/x86/cpuid.rst and msr.rst
constexpr std::uint32_t kvm_clock_feature = 1U << 3;
constexpr std::uint32_t kvm_wall_clock_msr = 0x4b56'4d00;
constexpr std::uint32_t kvm_system_time_msr = 0x4b56'4d01;

struct WallClockPage {
  std::uint32_t version;
  std::uint32_t seconds;
  std::uint32_t nanoseconds;
};

constexpr std::uint64_t nanoseconds_per_second = 1'000'000'000;

/// Timing leaf of VMware's proposal, which KVM and others follow: EAX = TSC in kHz.
std::uint64_t hypervisor_leaf_hertz() noexcept {
  const Hypervisor hypervisor = Hypervisor::find();
  if (hypervisor.base == 0 || hypervisor.last < hypervisor.base + 0x10) return 0;
  return std::uint64_t{cpuid(hypervisor.base + 0x10).eax} * 1000;
}

/// Intel SDM, CPUID leaf 15h: TSC = crystal * EBX / EAX.
std::uint64_t processor_leaf_hertz() noexcept {
  if (cpuid(0).eax < 0x15) return 0;
  const CpuidResult leaf = cpuid(0x15);
  return leaf.eax == 0 ? 0 : std::uint64_t{leaf.ecx} * leaf.ebx / leaf.eax;
}

// 8254, channel 2, whose gate software controls (port 0x61). Mode 0 counts down once from 65535 and goes on.
constexpr std::uint64_t pit_hertz = 1'193'182;
constexpr std::uint16_t pit_channel2 = 0x42;
constexpr std::uint16_t pit_command = 0x43;
constexpr std::uint16_t pit_gate = 0x61;

PitSample read_pit() noexcept {
  const std::uint64_t before = read_tsc();
  out8(pit_command, 0x80);  // latch channel 2
  const std::uint64_t after = read_tsc();
  const std::uint16_t low = in8(pit_channel2);
  const std::uint16_t high = in8(pit_channel2);
  return {before + (after - before) / 2, after - before, static_cast<std::uint16_t>(high << 8 | low)};
}

/// The tightest of a few readings: an exit to the host in the middle of one would spoil it.
PitSample best_of(unsigned readings) noexcept {
  PitSample best = read_pit();
  for (unsigned i = 1; i < readings; ++i) {
    const PitSample sample = read_pit();
    if (sample.width < best.width) best = sample;
  }
  return best;
}

/// The last resort. Starts the PIT's second channel.
PitSample start_pit() noexcept {
  out8(pit_gate, static_cast<std::uint8_t>((in8(pit_gate) & ~2U) | 1U));  // gate open, speaker off
  out8(pit_command, 0xb0);                                                // channel 2, both bytes, mode 0
  out8(pit_channel2, 0xff);
  out8(pit_channel2, 0xff);
  return best_of(5);
}

/// The output of channel 2, by the read-back command: microvm has no port 0x61.
bool pit_has_run_out() noexcept {
  out8(pit_command, 0xe8);
  return (in8(pit_channel2) & 0x80) != 0;
}

/// TSC ticks a second by at least a millisecond of the PIT since `start`; 0 when it does not count, or when the counter
/// has run out meanwhile (55 ms: the host stopped us), which the channel's output shows.
std::uint64_t hertz_since(const PitSample& start) noexcept {
  constexpr std::uint16_t interval = 1200;  // 1.006 ms
  constexpr unsigned polls = 20'000;        // at least 1 us each: gives up in time when nothing counts
  for (unsigned i = 0; i < polls; ++i) {
    if (static_cast<std::uint16_t>(start.count - read_pit().count) < interval) continue;
    const PitSample end = best_of(5);
    if (pit_has_run_out()) return 0;
    const auto counted = static_cast<std::uint16_t>(start.count - end.count);
    return (end.tsc - start.tsc) * pit_hertz / counted;
  }
  return 0;
}

std::uint64_t hertz_by_pit(const PitSample& start) noexcept {
  constexpr unsigned attempts = 20;  // a host with other work may stop us in several of them
  std::uint64_t hertz = hertz_since(start);
  for (unsigned i = 1; i < attempts && hertz == 0; ++i) hertz = hertz_since(start_pit());
  return hertz;
}

}  // namespace

Hypervisor Hypervisor::find() noexcept {
  Hypervisor found;
  if ((cpuid(1).ecx >> 31 & 1) == 0) return found;
  for (std::uint32_t base = 0x4000'0000; base < 0x4001'0000; base += 0x100) {
    const CpuidResult leaf = cpuid(base);
    char signature[12];
    std::memcpy(signature, &leaf.ebx, 4);
    std::memcpy(signature + 4, &leaf.ecx, 4);
    std::memcpy(signature + 8, &leaf.edx, 4);
    if (found.base == 0) found = {base, leaf.eax, false, std::memcmp(signature, "TCGTCGTCGTCG", 12) == 0};
    // KVM of old says 0 for its last leaf and means base + 1.
    if (std::memcmp(signature, "KVMKVMKVM\0\0", 12) == 0) {
      return {base, leaf.eax == 0 ? base + 1 : leaf.eax, true, false};
    }
    // Only Hyper-V's leaves are ever in front of others.
    if (std::memcmp(signature, "Microsoft Hv", 12) != 0) break;
  }
  return found;
}

PvClockPage Clock::read_page() const noexcept {
  const auto* shared = reinterpret_cast<const volatile PvClockPage*>(&page_);
  PvClockPage copy{};
  for (;;) {
    copy.version = shared->version;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    copy.tsc_timestamp = shared->tsc_timestamp;
    copy.system_time = shared->system_time;
    copy.tsc_to_system_mul = shared->tsc_to_system_mul;
    copy.tsc_shift = shared->tsc_shift;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    // Odd: KVM is writing. It does so while this processor does not run, so the loop is short.
    if ((copy.version & 1) == 0 && shared->version == copy.version) return copy;
  }
}

bool Clock::start_kvmclock() noexcept {
  const Hypervisor hypervisor = Hypervisor::find();
  if (!hypervisor.kvm || (cpuid(hypervisor.base + 1).eax & kvm_clock_feature) == 0) return false;
  alignas(16) WallClockPage wall{};
  write_msr(kvm_wall_clock_msr, reinterpret_cast<std::uintptr_t>(&wall));
  write_msr(kvm_system_time_msr, reinterpret_cast<std::uintptr_t>(&page_) | 1);
  const PvClockPage page = read_page();
  if (page.version == 0 || page.tsc_to_system_mul == 0) return false;
  const auto seconds = *const_cast<const volatile std::uint32_t*>(&wall.seconds);
  const auto nanoseconds = *const_cast<const volatile std::uint32_t*>(&wall.nanoseconds);
  wall_offset_ = seconds * nanoseconds_per_second + nanoseconds;
  // ns = ticks << shift (or >> -shift) * multiplier >> 32
  const int shift = 32 - page.tsc_shift;
  scale_ = {page.tsc_to_system_mul, shift >= 0 && shift < 64 ? static_cast<std::uint32_t>(shift) : 32};
  hertz_ = scale_.ticks(nanoseconds_per_second);
  source_ = Source::kvmclock;
  return true;
}

void Clock::announced_frequency() noexcept {
  hertz_ = hypervisor_leaf_hertz();
  source_ = Source::hypervisor_leaf;
  if (hertz_ != 0) return;
  hertz_ = processor_leaf_hertz();
  source_ = hertz_ == 0 ? Source::pit : Source::processor_leaf;
}

void Clock::begin() noexcept {
  if (start_kvmclock()) return;
  start_ticks_ = read_tsc();
  announced_frequency();
  if (source_ == Source::pit) pit_ = start_pit();
}

void Clock::start() noexcept {
  if (source_ == Source::kvmclock) return;
  if (source_ == Source::pit) hertz_ = hertz_by_pit(pit_);
  if (hertz_ == 0) source_ = Source::none;
  scale_ = TickScale::of_frequency(hertz_);
  wall_offset_ = read_real_time_clock() * nanoseconds_per_second - monotonic_ns();
}

void Clock::start(std::uint64_t tsc_hertz, std::uint64_t wall_now) noexcept {
  start_ticks_ = read_tsc();
  hertz_ = tsc_hertz;
  scale_ = TickScale::of_frequency(hertz_);
  source_ = hertz_ == 0 ? Source::none : Source::given;
  wall_offset_ = wall_now;
}

std::uint64_t Clock::monotonic_ns() noexcept {
  std::uint64_t now = 0;
  if (source_ == Source::kvmclock) {
    const PvClockPage page = read_page();
    now = pvclock_nanoseconds(page, read_tsc());
  } else {
    now = scale_.nanoseconds(read_tsc() - start_ticks_);
  }
  if (now > last_) last_ = now;
  return last_;
}

std::uint64_t Clock::tsc_at(std::uint64_t nanoseconds) noexcept {
  const std::uint64_t now = monotonic_ns();
  const std::uint64_t ticks = nanoseconds > now ? scale_.ticks(nanoseconds - now) : 0;
  const std::uint64_t tsc = read_tsc();
  return ticks > UINT64_MAX - tsc ? UINT64_MAX : tsc + ticks;
}

const char* Clock::source_name() const noexcept {
  switch (source_) {
    case Source::none:
      return "none";
    case Source::kvmclock:
      return "kvmclock";
    case Source::hypervisor_leaf:
      return "tsc-hypervisor";
    case Source::processor_leaf:
      return "tsc-cpuid";
    case Source::given:
      return "tsc";
    case Source::pit:
      return "tsc-pit";
  }
  return "none";
}

}  // namespace mirage::machine
