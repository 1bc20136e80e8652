// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/base/checked.hpp>
#include <mirage/base/text.hpp>
#include <mirage/store/tar/header.hpp>

namespace mirage::store::tar {

namespace {

/// A string field: up to the first NUL, or all of it.
std::string_view text_field(Bytes block, std::size_t at, std::size_t size) noexcept {
  const std::string_view text = as_text(block.subspan(at, size));
  return text.substr(0, text.find('\0'));
}

/// The sum of all bytes, those of the checksum field taken as blanks; `sign`: bytes as signed, as some old tars did.
std::int64_t sum_of(Bytes block, bool sign) noexcept {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < block_size; ++i) {
    const bool own = i >= header_at::checksum && i < header_at::type;
    const auto byte = own ? std::uint8_t{' '} : std::to_integer<std::uint8_t>(block[i]);
    sum += sign ? static_cast<std::int8_t>(byte) : byte;
  }
  return sum;
}

std::optional<std::uint64_t> parse_octal(std::string_view text) noexcept {
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7' || value >> 61 != 0) return std::nullopt;
    value = value << 3 | static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

/// `digits` octal digits and a NUL behind them.
void put_octal(MutableBytes block, std::size_t at, std::size_t digits, std::uint64_t value) noexcept {
  for (std::size_t i = digits; i-- > 0; value >>= 3) block[at + i] = static_cast<std::byte>('0' + (value & 7));
}

void put_text(MutableBytes block, std::size_t at, std::string_view text) noexcept {
  std::ranges::copy(as_bytes(text), block.subspan(at).begin());
}

/// Seconds of "1700000000.123456789" or "-5.5"; the fraction is dropped.
std::optional<std::int64_t> parse_seconds(std::string_view text) noexcept {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto whole = parse_unsigned<std::uint64_t>(text.substr(0, text.find('.')));
  if (!whole) return std::nullopt;
  const auto seconds = checked_cast<std::int64_t>(*whole);
  if (!seconds) return std::nullopt;
  return negative ? -*seconds : *seconds;
}

}  // namespace

std::string_view to_string(TarError error) noexcept {
  switch (error) {
    case TarError::checksum:
      return "no tar header there";
    case TarError::number:
      return "a header with a bad number";
    case TarError::extension:
      return "an extended header that cannot be read";
    case TarError::extension_size:
      return "an extended header of more than 8 KiB";
    case TarError::cut_off:
      return "the archive is cut off";
  }
  return "?";
}

bool is_zero(Bytes bytes) noexcept {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

std::optional<std::uint64_t> parse_number(Bytes field) noexcept {
  if (!field.empty() && (field[0] & std::byte{0x80}) != std::byte{0}) {
    if (field[0] != std::byte{0x80} || field.size() < 9) return std::nullopt;  // negative, or too large for any disk
    if (!is_zero(field.subspan(1, field.size() - 9))) return std::nullopt;
    return load_big<std::uint64_t>(field, field.size() - 8);
  }
  std::string_view text = as_text(field);
  text = text.substr(0, text.find('\0'));
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return parse_octal(text);
}

Result<Header, TarError> Header::parse(Bytes block) noexcept {
  const auto stated = parse_number(block.subspan(header_at::checksum, 8));
  if (!stated) return Failure{TarError::checksum};
  const auto sum = static_cast<std::int64_t>(*stated);
  if (sum != sum_of(block, false) && sum != sum_of(block, true)) return Failure{TarError::checksum};
  Header header;
  header.type = static_cast<char>(block[header_at::type]);
  header.name = text_field(block, header_at::name, 100);
  const std::string_view magic = as_text(block.subspan(header_at::magic, 6));
  const bool posix = magic == std::string_view{"ustar\0", 6};
  // GNU's magic is "ustar " with two blanks; it keeps other things where the prefix is.
  if (posix) header.prefix = text_field(block, header_at::prefix, 155);
  const auto size = parse_number(block.subspan(header_at::size, 12));
  if (!size) return Failure{TarError::number};
  header.size = *size;
  const auto mtime = parse_number(block.subspan(header_at::mtime, 12));
  header.mtime = mtime && *mtime >> 40 == 0 ? static_cast<std::int64_t>(*mtime) : 0;
  header.sparse_extended = header.type == 'S' && block[header_at::sparse_extended] != std::byte{0};
  return header;
}

void Header::emit(MutableBytes block) const noexcept {
  std::ranges::fill(block, std::byte{0});
  put_text(block, header_at::name, name.substr(0, 100));
  put_octal(block, header_at::mode, 7, 0644);
  put_octal(block, header_at::uid, 7, 0);
  put_octal(block, header_at::gid, 7, 0);
  put_octal(block, header_at::size, 11, size);
  put_octal(block, header_at::mtime, 11, mtime < 0 || mtime >> 33 != 0 ? 0 : static_cast<std::uint64_t>(mtime));
  block[header_at::type] = static_cast<std::byte>(type);
  put_text(block, header_at::magic, "ustar");
  put_text(block, header_at::version, "00");
  put_octal(block, 329, 7, 0);  // device numbers
  put_octal(block, 337, 7, 0);
  put_text(block, header_at::prefix, prefix.substr(0, 155));
  put_octal(block, header_at::checksum, 6, static_cast<std::uint64_t>(sum_of(block, false)));
  block[header_at::checksum + 7] = std::byte{' '};  // "digits, NUL, blank", as everybody writes it
}

std::optional<Extension> Extension::parse(std::string_view records) noexcept {
  Extension extension;
  while (!records.empty()) {
    const std::size_t blank = records.find(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    const auto length = parse_unsigned<std::size_t>(records.substr(0, blank));
    if (!length || *length < blank + 4 || *length > records.size()) return std::nullopt;
    std::string_view record = records.substr(blank + 1, *length - blank - 1);
    records.remove_prefix(*length);
    if (!record.ends_with('\n')) return std::nullopt;
    record.remove_suffix(1);
    const std::size_t equal = record.find('=');
    if (equal == std::string_view::npos) return std::nullopt;
    const std::string_view key = record.substr(0, equal);
    const std::string_view value = record.substr(equal + 1);
    if (key == "path" && !value.empty()) extension.path = value;
    if (key == "mtime") extension.mtime = parse_seconds(value);
    if (key.starts_with("GNU.sparse.")) extension.sparse = true;
    if (key != "size" || value.empty()) continue;
    extension.size = parse_unsigned<std::uint64_t>(value);
    if (!extension.size) return std::nullopt;
  }
  return extension;
}

std::string_view key_of(std::string_view name) noexcept {
  while (name.starts_with("./") || name.starts_with('/')) name.remove_prefix(name.starts_with('/') ? 1 : 2);
  while (name.ends_with('/')) name.remove_suffix(1);
  return name == "." ? std::string_view{} : name;
}

}  // namespace mirage::store::tar
