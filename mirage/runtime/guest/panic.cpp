// SPDX-License-Identifier: ISC
// panic, and the library functions that mean "cannot go on": each is overridden here because the libraries' own
// versions pull in stdio (14 KB) or end in a trap without a word.
#include <array>
#include <cstdarg>

#include <mirage/base/text.hpp>
#include <mirage/runtime/guest/state.hpp>
#include <mirage/runtime/panic.hpp>
#include <mirage/runtime/platform.hpp>

namespace mirage::runtime {

namespace {

constexpr std::size_t report_size = 2048;
constexpr std::size_t message_size = 256;

/// True once: whoever panics while a panic is being reported has nothing more to say.
bool enter_panic() noexcept {
  if (state.panicking) return false;
  state.panicking = true;
  return true;
}

/// printf's %s, %d and %%, which is all that libc++ and libc++abi use.
void append_message(TextWriter& out, const char* format, std::va_list arguments) noexcept {
  for (; *format != '\0'; ++format) {
    if (*format != '%' || format[1] == '\0') {
      if (*format != '\n') out.append(*format);
      continue;
    }
    switch (*++format) {
      case 's':
        out.append(std::string_view(va_arg(arguments, const char*)));
        break;
      case 'd':
        out.append_signed(va_arg(arguments, int));
        break;
      default:
        out.append(*format);
    }
  }
}

[[noreturn]] void panic_message(const char* format, std::va_list arguments) noexcept {
  Text<message_size> text;
  append_message(text.writer(), format, arguments);
  panic(text.view());
}

}  // namespace

void panic(std::string_view reason) noexcept {
  if (enter_panic()) {
    const auto caller = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1;
    // The caller's frame pointer is the first word of ours.
    const auto* const own = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
    std::array<char, report_size> memory;
    platform::console_write(format_backtrace({caller, 0, *own}, state.bounds, memory));
  }
  platform::abort(reason);
}

void panic(const FaultReport& report) noexcept {
  if (enter_panic()) {
    std::array<char, report_size> memory;
    platform::console_write(format_fault(report, state.bounds, memory));
  }
  platform::abort(report.kind);
}

}  // namespace mirage::runtime

extern "C" {

/// Compared by every protected function; set once by runtime::start.
std::uintptr_t __stack_chk_guard = 0;

[[noreturn]] void __stack_chk_fail() { mirage::runtime::panic("stack smashed: a buffer on the stack was overrun"); }

[[noreturn]] void abort() { mirage::runtime::panic("abort called"); }

[[noreturn]] void __assert_fail(const char* expression, const char* file, int line, const char* function) {
  const mirage::Text<mirage::runtime::message_size> text("assertion failed: {} ({}:{}, {})", expression, file, line,
                                                         function);
  mirage::runtime::panic(text.view());
}

/// libc++abi: terminate, pure virtual call, bad guard ...
[[noreturn]] void abort_message(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  mirage::runtime::panic_message(format, arguments);
}
}

/// libc++: what would have been an exception, in an image without them.
_LIBCPP_BEGIN_NAMESPACE_STD
[[noreturn]] void __libcpp_verbose_abort(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  mirage::runtime::panic_message(format, arguments);
}
_LIBCPP_END_NAMESPACE_STD
