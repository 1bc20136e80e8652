// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>

#include <mirage/async/shard.hpp>
#include <mirage/runtime/panic.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/target/spt/environment.hpp>
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>

namespace mirage::target::spt {

Time Environment::monotonic() noexcept { return Time{Duration{static_cast<std::int64_t>(platform::monotonic_ns())}}; }

WallTime Environment::wall() noexcept { return WallTime{Duration{static_cast<std::int64_t>(platform::wall_ns())}}; }

bool Environment::entropy(MutableBytes out) noexcept { return platform::entropy(out); }

std::size_t Environment::memory() const noexcept { return runtime::heap_statistics().capacity; }

void Environment::write_console(std::string_view text) noexcept { platform::console_write(text); }

void Environment::log_capabilities(Shard& shard) const noexcept {
  const auto choose = [](solo5::Capability capability, std::string_view yes, std::string_view no) noexcept {
    return granted(capability) ? yes : no;
  };
  shard.logger("spt").debug("memory={}MiB clock={} entropy={} faults={} guard=yes", boot_info().memory_size >> 20,
                            choose(solo5::fast_clock, "host", "call"), choose(solo5::reseed, "host", "cpu"),
                            choose(solo5::fault_report, "reported", "silent"));
}

void Environment::arm(Time deadline) noexcept {
  if (deadline == armed_) return;
  armed_ = deadline;
  call::TimerSpec timer{};  // zero disarms
  if (deadline != never) {
    const std::int64_t nanoseconds = std::max<std::int64_t>(deadline.time_since_epoch().count(), 0);
    timer.value = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000 | 1};
  }
  call::make(call::Number::timerfd_settime, boot_info().timer_descriptor, call::timer_absolute, call::address(&timer));
}

void Environment::wait(Time deadline) noexcept {
  arm(deadline);
  std::array<call::EpollEvent, 8> events;
  const long count = call::make(call::Number::epoll_pwait, boot_info().epoll_descriptor, call::address(events.data()),
                                events.size(), -1, 0, 8);
  for (long i = 0; i < count; ++i) {
    // An expired timer stays readable until it is set again.
    if (events[static_cast<std::size_t>(i)].data == timer_event) armed_ = Time::min();
  }
}

}  // namespace mirage::target::spt
