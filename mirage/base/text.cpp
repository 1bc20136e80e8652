// SPDX-License-Identifier: ISC
#include <mirage/base/text.hpp>

namespace mirage {

void TextWriter::append(char c) noexcept {
  if (size_ == memory_.size()) {
    truncated_ = true;
    return;
  }
  memory_[size_++] = c;
}

void TextWriter::append(std::string_view text) noexcept {
  std::size_t count = text.size();
  if (count > memory_.size() - size_) {
    count = memory_.size() - size_;
    truncated_ = true;
  }
  if (count != 0) std::memcpy(memory_.data() + size_, text.data(), count);
  size_ += count;
}

void TextWriter::append_unsigned(std::uint64_t value, unsigned base, unsigned minimum_digits) noexcept {
  [[clang::uninitialized]] std::array<char, 64> digits;
  std::size_t at = digits.size();
  do {  // nearly always ten, which the compiler divides by without a division
    digits[--at] = "0123456789abcdef"[base == 10 ? value % 10 : value % base];
    value = base == 10 ? value / 10 : value / base;
  } while (value != 0 && at > 0);
  while (digits.size() - at < minimum_digits && at > 0) digits[--at] = '0';
  append(std::string_view(digits.data() + at, digits.size() - at));
}

void TextWriter::append_signed(std::int64_t value) noexcept {
  if (value < 0) append('-');
  const auto bits = static_cast<std::uint64_t>(value);
  append_unsigned(value < 0 ? ~bits + 1 : bits);
}

void append_value(TextWriter& out, Hex hex) noexcept {
  out.append("0x");
  out.append_unsigned(hex.value, 16, hex.digits);
}

void append_value(TextWriter& out, const MacAddress& address) noexcept {
  for (std::size_t i = 0; i < address.octets.size(); ++i) {
    if (i != 0) out.append(':');
    out.append_unsigned(address.octets[i], 16, 2);
  }
}

void append_value(TextWriter& out, Ipv4Address address) noexcept {
  for (unsigned i = 0; i < 4; ++i) {
    if (i != 0) out.append('.');
    out.append_unsigned(address.value >> (24 - 8 * i) & 0xff);
  }
}

namespace {
unsigned group(const IpAddress& address, std::size_t index) noexcept {
  return static_cast<unsigned>(address.octets[2 * index] << 8 | address.octets[2 * index + 1]);
}

/// RFC 5952 section 4.2: the longest run of at least two zero groups, the first of equals.
std::pair<std::size_t, std::size_t> longest_zero_run(const IpAddress& address) noexcept {
  std::size_t best = 8;
  std::size_t best_length = 1;
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && group(address, end) == 0) ++end;
    if (end - i > best_length) {
      best = i;
      best_length = end - i;
    }
    i = end + 1;
  }
  return {best, best_length};
}
}  // namespace

void append_value(TextWriter& out, const IpAddress& address) noexcept {
  if (address.is_v4()) return append_value(out, address.v4());
  const auto [run, length] = longest_zero_run(address);
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == run) {
      out.append("::");
      i += length - 1;
      continue;
    }
    if (i != 0 && i != run + length) out.append(':');
    out.append_unsigned(group(address, i), 16);
  }
}

void append_value(TextWriter& out, const Ipv4Prefix& prefix) noexcept {
  append_value(out, prefix.address);
  out.append('/');
  out.append_unsigned(prefix.length);
}

void append_value(TextWriter& out, const IpPrefix& prefix) noexcept {
  append_value(out, prefix.address);
  out.append('/');
  out.append_unsigned(prefix.address.is_v4() ? prefix.length - 96U : prefix.length);
}

void append_value(TextWriter& out, const Endpoint& endpoint) noexcept {
  const bool v4 = endpoint.address.is_v4();
  if (!v4) out.append('[');
  append_value(out, endpoint.address);
  if (!v4) out.append(']');
  out.append(':');
  out.append_unsigned(endpoint.port);
}

void append_value(TextWriter& out, std::chrono::duration<std::int64_t, std::nano> duration) noexcept {
  auto count = duration.count();
  if (count < 0) {
    out.append('-');
    count = count == INT64_MIN ? INT64_MAX : -count;
  }
  const auto nanoseconds = static_cast<std::uint64_t>(count);
  if (nanoseconds < 1000) {
    out.append_unsigned(nanoseconds);
    return out.append("ns");
  }
  if (nanoseconds < 1'000'000) {
    out.append_unsigned(nanoseconds / 1000);
    return out.append("us");
  }
  if (nanoseconds < 1'000'000'000) {
    out.append_unsigned(nanoseconds / 1'000'000);
    return out.append("ms");
  }
  out.append_unsigned(nanoseconds / 1'000'000'000);
  out.append('.');
  out.append_unsigned(nanoseconds / 1'000'000 % 1000, 10, 3);
  out.append('s');
}

void detail::format_erased(TextWriter& out, std::string_view format,
                           std::span<const FormatArgument> arguments) noexcept {
  std::size_t next = 0;
  while (!format.empty()) {
    const auto place = format.find("{}");
    out.append(format.substr(0, place));
    if (place == std::string_view::npos) return;
    arguments[next].append(out, arguments[next].value);
    ++next;
    format.remove_prefix(place + 2);
  }
}

}  // namespace mirage
