// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/runtime/panic.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/target/virtio/attachment.hpp>
#include <mirage/target/virtio/environment.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

namespace {

/// Sleeps until an interrupt; the deadline is one. The interrupt stays in service.
void sleep_until(Time deadline) noexcept {
  if (state.unrouted_interrupts) {
    // A device whose interrupt reaches nobody is looked at a thousand times a second.
    constexpr std::int64_t interval = 1'000'000;
    deadline = std::min(deadline, Time{Duration{static_cast<std::int64_t>(platform::monotonic_ns()) + interval}});
  }
  if (deadline == never) {
    state.local_apic.disarm_timer();
  } else {
    state.local_apic.arm_timer(state.clock, static_cast<std::uint64_t>(deadline.time_since_epoch().count()));
  }
  machine::halt_until_interrupt();
}

/// True when some device has work.
bool arm_all() noexcept {
  bool ready = false;
  for (const FoundDevice& device : state.devices.found()) {
    ready |= device.wakeable != nullptr && device.wakeable->arm();
  }
  return ready;
}

}  // namespace

Time Environment::monotonic() noexcept { return Time{Duration{static_cast<std::int64_t>(platform::monotonic_ns())}}; }

WallTime Environment::wall() noexcept { return WallTime{Duration{static_cast<std::int64_t>(platform::wall_ns())}}; }

bool Environment::entropy(MutableBytes out) noexcept { return platform::entropy(out); }

std::size_t Environment::memory() const noexcept { return runtime::heap_statistics().capacity; }

void Environment::write_console(std::string_view text) noexcept {
  platform::console_write(std::span<const char>(text));
}

void Environment::wait(Time deadline) noexcept {
  bool ready = arm_all();
  const bool sleep = !ready && deadline > monotonic();
  if (sleep) {
    sleep_until(deadline);
    ready = arm_all();
  }
  for (const FoundDevice& device : state.devices.found()) {
    if (device.wakeable != nullptr) device.wakeable->disarm(!ready);
  }
  // Only now: while a device holds its line, the I/O APIC answers the end of a level-triggered interrupt with another.
  if (sleep) state.local_apic.end_of_interrupt();
}

}  // namespace mirage::target::virtio
