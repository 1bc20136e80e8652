// SPDX-License-Identifier: ISC
#include <mirage/machine/x86_64/processor/entropy.hpp>
#include <mirage/runtime/panic.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/target/hvt/environment.hpp>
#include <mirage/target/hvt/guest/boot.hpp>

namespace mirage::target::hvt {

Time Environment::monotonic() noexcept { return Time{Duration{static_cast<std::int64_t>(platform::monotonic_ns())}}; }

WallTime Environment::wall() noexcept { return WallTime{Duration{static_cast<std::int64_t>(platform::wall_ns())}}; }

bool Environment::entropy(MutableBytes out) noexcept { return platform::entropy(out); }

std::size_t Environment::memory() const noexcept { return runtime::heap_statistics().capacity; }

void Environment::write_console(std::string_view text) noexcept { platform::console_write(text); }

void Environment::log_capabilities(Shard& shard) const noexcept {
  shard.logger("hvt").debug("memory={}MiB clock=tsc entropy={} faults=reported guard=yes",
                            guest.boot->memory_size >> 20,
                            granted(solo5::reseed) ? "host" : machine::HardwareEntropy{}.name());
}

void Environment::wait(Time deadline) noexcept {
  constexpr std::uint64_t for_ever = std::uint64_t{1} << 62;
  PollCall call{for_ever, 0, 0, 0};
  if (deadline != never) {
    const Duration left = deadline - monotonic();
    if (left <= Duration::zero()) return;
    call.timeout = static_cast<std::uint64_t>(left.count());
  }
  hypercall(Hypercall::poll, call);
}

}  // namespace mirage::target::hvt
