// SPDX-License-Identifier: ISC
#include <array>
#include <cstring>

#include <mirage/base/text.hpp>
#include <mirage/runtime/report.hpp>

namespace mirage::runtime {

namespace {

constexpr std::size_t frame_limit = 32;
constexpr std::size_t registers_per_line = 4;
constexpr std::size_t name_size = 3;
constexpr unsigned address_digits = 16;

bool in_text(std::uintptr_t address, const BacktraceBounds& bounds) noexcept {
  return address > bounds.text_begin && address <= bounds.text_end;
}

/// The word at `address`, when it is aligned and lies on the stack.
std::optional<std::uintptr_t> stack_word(std::uintptr_t address, std::span<const std::byte> stack) noexcept {
  const std::uintptr_t offset = address - reinterpret_cast<std::uintptr_t>(stack.data());
  if (address % sizeof(std::uintptr_t) != 0 || stack.size() < sizeof(std::uintptr_t)) return std::nullopt;
  if (offset > stack.size() - sizeof(std::uintptr_t)) return std::nullopt;
  std::uintptr_t word = 0;
  std::memcpy(&word, stack.data() + offset, sizeof word);
  return word;
}

void append_backtrace(TextWriter& out, const Frame& frame, const BacktraceBounds& bounds) noexcept {
  std::array<std::uintptr_t, frame_limit> addresses;
  const std::size_t count = backtrace(frame, bounds, addresses);
  format_to<>(out, "backtrace (newest first):\n");
  for (const std::uintptr_t address : std::span(addresses).first(count)) {
    format_to<Hex>(out, "  at {}\n", Hex{address, address_digits});
  }
}

void append_registers(TextWriter& out, const Registers& registers) noexcept {
  std::string_view names = registers.names;
  std::size_t printed = 0;
  for (const std::uint64_t value : registers.values) {
    const std::string_view name{names.data(), names.size() < name_size ? names.size() : name_size};
    names.remove_prefix(name.size());
    ++printed;
    const bool ends_line = printed % registers_per_line == 0 || printed == registers.values.size();
    format_to<std::string_view, Hex, char>(out, "{}={}{}", name, Hex{value, address_digits}, ends_line ? '\n' : ' ');
  }
}

}  // namespace

std::size_t backtrace(const Frame& frame, const BacktraceBounds& bounds, std::span<std::uintptr_t> out) noexcept {
  std::size_t count = 0;
  const auto store = [&](std::uintptr_t address) noexcept {
    if (count < out.size()) out[count++] = address;
  };
  store(frame.pc);
  // Assembly without a frame: its caller is not in the chain yet, but on top of the stack.
  const auto top = stack_word(frame.sp, bounds.stack);
  if (top && frame.sp < frame.fp && in_text(*top, bounds)) store(*top - 1);
  std::uintptr_t fp = frame.fp;
  while (count < out.size()) {
    const auto caller = stack_word(fp, bounds.stack);
    const auto return_address = stack_word(fp + sizeof(std::uintptr_t), bounds.stack);
    if (!caller || !return_address || !in_text(*return_address, bounds)) break;
    store(*return_address - 1);
    if (*caller <= fp) break;
    fp = *caller;
  }
  return count;
}

std::string_view format_backtrace(const Frame& frame, const BacktraceBounds& bounds, std::span<char> out) noexcept {
  TextWriter writer(out);
  append_backtrace(writer, frame, bounds);
  return writer.view();
}

std::string_view format_fault(const FaultReport& report, const BacktraceBounds& bounds, std::span<char> out) noexcept {
  TextWriter writer(out);
  format_to<std::string_view>(writer, "fault: {}", report.kind);
  if (report.address) format_to<Hex>(writer, ", address {}", Hex{*report.address, address_digits});
  if (report.code) format_to<Hex>(writer, ", error code {}", Hex{*report.code});
  writer.append('\n');
  append_registers(writer, report.registers);
  append_backtrace(writer, report.frame, bounds);
  return writer.view();
}

}  // namespace mirage::runtime
