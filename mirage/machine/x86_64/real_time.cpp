// SPDX-License-Identifier: ISC
#include <array>

#include <mirage/machine/x86_64/clock.hpp>
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/real_time.hpp>

namespace mirage::machine {

namespace {

constexpr std::uint16_t index_port = 0x70;
constexpr std::uint16_t data_port = 0x71;
constexpr std::uint8_t status_a = 0x0a;
constexpr std::uint8_t status_b = 0x0b;
constexpr std::uint8_t status_d = 0x0d;
/// seconds, minutes, hours, day, month, year, century (where PCs keep it)
using Registers = std::array<std::uint8_t, 7>;
constexpr Registers addresses{0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x32};

std::uint8_t read(std::uint8_t address) noexcept {
  out8(index_port, address);
  return in8(data_port);
}

Registers read_all() noexcept {
  Registers values{};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = read(addresses[i]);
  return values;
}

/// Two equal readings outside an update; an update lasts 2 ms at most, real hardware only.
Registers read_stable() noexcept {
  Registers last = read_all();
  for (unsigned i = 0; i < 1000; ++i) {
    if ((read(status_a) & 0x80) != 0) continue;
    const Registers now = read_all();
    if (now == last) break;
    last = now;
  }
  return last;
}

constexpr unsigned from_bcd(unsigned value) { return (value >> 4) * 10 + (value & 0xf); }

}  // namespace

std::uint64_t read_real_time_clock() noexcept {
  // The low bits of status D are always 0; no device reads as ones, also in the bit that says "update under way".
  if ((read(status_d) & 0x7f) != 0) return 0;
  const Registers raw = read_stable();
  const std::uint8_t format = read(status_b);
  const bool binary = (format & 4) != 0;
  const bool hours24 = (format & 2) != 0;
  const auto value = [&](std::size_t index) -> unsigned { return binary ? raw[index] : from_bcd(raw[index]); };
  unsigned hour = binary ? raw[2] & 0x7fU : from_bcd(raw[2] & 0x7fU);
  if (!hours24) hour = hour % 12 + ((raw[2] & 0x80) != 0 ? 12 : 0);
  const unsigned century = value(6) >= 19 && value(6) <= 29 ? value(6) : 20;
  const unsigned month = value(4);
  const unsigned day = value(3);
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || value(1) > 59 || value(0) > 60) return 0;
  return unix_seconds(century * 100 + value(5), month, day, hour, value(1), value(0));
}

}  // namespace mirage::machine
