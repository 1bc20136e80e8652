// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>

/// Errors of the tenders: one line of text for the user. No allocation, no <format>: tenders start fast.
namespace mirage::tender {

/// A number to be printed in hexadecimal.
struct Hex {
  std::uint64_t value;
};

/// Text from outside (an image, an argument): control characters are shown as '?'.
struct Quoted {
  std::string_view text;
};

/// The text of an errno value.
struct Errno {
  int value;
};

/// One bounded line of text; what does not fit is cut off.
class Line {
 public:
  Line& operator<<(std::string_view text);
  Line& operator<<(const char* text) { return *this << std::string_view{text}; }
  Line& operator<<(Hex number);
  Line& operator<<(Quoted quoted);
  Line& operator<<(Errno error);
  Line& operator<<(std::unsigned_integral auto number) { return decimal(number); }
  Line& operator<<(std::signed_integral auto number) {
    return number < 0 ? (*this << "-").decimal(0 - static_cast<std::uint64_t>(number))
                      : decimal(static_cast<std::uint64_t>(number));
  }

  [[nodiscard]] std::string_view text() const { return {text_.data(), size_}; }

 private:
  Line& decimal(std::uint64_t number);

  std::array<char, 640> text_;
  std::size_t size_ = 0;
};

using Error = Line;

template <class T = void>
using Result = std::expected<T, Error>;

/// `return fail("cannot open ", Quoted{path}, ": ", Errno{errno});`
template <class... Parts>
[[nodiscard]] std::unexpected<Error> fail(const Parts&... parts) {
  Error error;
  (error << ... << parts);
  return std::unexpected{error};
}

/// Writes "PROGRAM: LINE\n" to standard error in one call.
void print_error(std::string_view program, const Error& error);

}  // namespace mirage::tender
