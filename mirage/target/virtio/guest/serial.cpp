// SPDX-License-Identifier: ISC
#include <cstdint>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/target/virtio/guest/serial.hpp>

namespace mirage::target::virtio {

namespace {

using machine::in8;
using machine::out8;

constexpr std::uint16_t base = 0x3f8;
constexpr std::uint16_t data = base;
constexpr std::uint16_t interrupt_enable = base + 1;
constexpr std::uint16_t fifo_control = base + 2;
constexpr std::uint16_t line_control = base + 3;
constexpr std::uint16_t modem_control = base + 4;
constexpr std::uint16_t line_status = base + 5;
constexpr std::uint16_t scratch = base + 7;
constexpr std::uint8_t transmitter_empty = 0x20;
constexpr std::size_t fifo_size = 16;

bool wait_until_empty() noexcept {
  constexpr unsigned polls = 1'000'000;  // about a second: a host that stopped reading
  for (unsigned i = 0; i < polls; ++i) {
    if ((in8(line_status) & transmitter_empty) != 0) return true;
  }
  return false;
}

}  // namespace

void SerialPort::start() noexcept {
  out8(scratch, 0x5a);
  present_ = in8(scratch) == 0x5a;
  if (!present_) return;
  out8(interrupt_enable, 0);
  out8(line_control, 0x80);
  out8(data, 1);  // divisor, low byte
  out8(interrupt_enable, 0);
  out8(line_control, 0x03);
  out8(fifo_control, 0x07);
  out8(modem_control, 0x03);
}

void SerialPort::write(std::span<const char> text) noexcept {
  while (present_ && !text.empty()) {
    if (!wait_until_empty()) return;
    const auto part = text.first(text.size() < fifo_size ? text.size() : fifo_size);
    for (const char c : part) out8(data, static_cast<std::uint8_t>(c));
    text = text.subspan(part.size());
  }
}

}  // namespace mirage::target::virtio
