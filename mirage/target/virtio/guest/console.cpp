// SPDX-License-Identifier: ISC
#include <new>

#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

void write_console(std::span<const char> text) noexcept {
  if (state.serial.present()) return state.serial.write(text);
  if (state.console != nullptr) state.console->device.write(text);
}

void find_console() noexcept {
  if (state.serial.present()) return;
  auto* console = new (state.console_storage.data()) VirtioConsole;
  if (!console->attachment.open(DeviceType::console, nullptr)) return;
  if (console->device.start(console->attachment.transport(), state.console_queue)) state.console = console;
}

}  // namespace mirage::target::virtio
