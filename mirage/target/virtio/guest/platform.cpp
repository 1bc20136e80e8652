// SPDX-License-Identifier: ISC
// mirage::platform on virtio.
#include <algorithm>

#include <mirage/base/text.hpp>
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/processor/entropy.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/target/virtio/guest/entropy.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::platform {

namespace virtio = target::virtio;

std::uint64_t monotonic_ns() noexcept { return virtio::state.clock.monotonic_ns(); }

std::uint64_t wall_ns() noexcept { return virtio::state.clock.wall_ns(); }

void console_write(std::span<const char> text) noexcept { virtio::write_console(text); }

void exit(int status) noexcept {
  // A machine has no exit status. Every other status than 0 is said in a last line and to QEMU's isa-debug-exit, when
  // there is one (QEMU then ends with status * 2 + 1, of which a process keeps eight bits: 127 is all above, too).
  constexpr std::uint16_t debug_exit_port = 0x501;
  if (status != 0) {
    const Text<64> line("mirage: exit status {}\n", status & 0xff);
    console_write(std::span<const char>(line.view()));
    machine::out8(debug_exit_port, static_cast<std::uint8_t>(std::min(status & 0xff, 127)));
  }
  virtio::power_off();
}

void abort(std::string_view reason) noexcept {
  console_write(std::span<const char>(reason));
  console_write(std::span<const char>("\n", 1));
  exit(255);
}

bool entropy(std::span<std::byte> out) noexcept {
  if (machine::HardwareEntropy().fill(out.data(), out.size())) return true;
  return virtio::device_entropy(out);
}

bool set_thread_pointer(std::uintptr_t pointer) noexcept {
  machine::write_msr(machine::msr_fs_base, pointer);
  return true;
}

}  // namespace mirage::platform
