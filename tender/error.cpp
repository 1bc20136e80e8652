// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <unistd.h>

#include <tender/error.hpp>

namespace mirage::tender {

Line& Line::operator<<(std::string_view text) {
  const std::size_t room = text_.size() - size_;
  const std::size_t count = std::min(room, text.size());
  std::copy_n(text.data(), count, text_.data() + size_);
  size_ += count;
  return *this;
}

Line& Line::operator<<(Hex number) {
  std::array<char, 18> digits;
  std::size_t first = digits.size();
  do {
    digits[--first] = "0123456789abcdef"[number.value & 15];
    number.value >>= 4;
  } while (number.value != 0);
  digits[--first] = 'x';
  digits[--first] = '0';
  return *this << std::string_view{digits.data() + first, digits.size() - first};
}

Line& Line::decimal(std::uint64_t number) {
  std::array<char, 20> digits;
  std::size_t first = digits.size();
  do {
    digits[--first] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  return *this << std::string_view{digits.data() + first, digits.size() - first};
}

Line& Line::operator<<(Quoted quoted) {
  *this << "'";
  for (const char character : quoted.text) {
    const bool printable = static_cast<unsigned char>(character) >= 0x20 && character != 0x7f;
    *this << std::string_view{printable ? &character : "?", 1};
  }
  return *this << "'";
}

Line& Line::operator<<(Errno error) { return *this << std::string_view{std::strerror(error.value)}; }

void print_error(std::string_view program, const Error& error) {
  std::array<char, 800> line;
  std::size_t size = 0;
  for (const std::string_view part : {program, std::string_view{": "}, error.text(), std::string_view{"\n"}}) {
    const std::size_t count = std::min(part.size(), line.size() - size);
    std::copy_n(part.data(), count, line.data() + size);
    size += count;
  }
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), size);
}

}  // namespace mirage::tender
