// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/fat/name.hpp>

namespace mirage::store::fat {

namespace {

/// Code page 437 from 0x80: the upper half of what IBM's PC showed.
constexpr std::u16string_view upper_half =
    u"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
    u"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";
static_assert(upper_half.size() == 128);

/// Decodes one character and takes it off; nullopt for what is no UTF-8 (RFC 3629 section 4).
std::optional<char32_t> take_point(std::string_view& text) noexcept {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t size = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (size == 0 || (lead >= 0x80 && lead < 0xc2) || text.size() < size) return std::nullopt;
  char32_t point = size == 1 ? lead : lead & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (byte & 0x3f);
  }
  if ((size == 3 && point < 0x800) || (size == 4 && (point < 0x10000 || point > 0x10ffff))) return std::nullopt;
  if (point >= 0xd800 && point < 0xe000) return std::nullopt;
  text.remove_prefix(size);
  return point;
}

constexpr bool is_forbidden(char32_t point) noexcept {
  return point < 0x20 || point == 0x7f ||
         (point < 0x80 && std::string_view{"\"*/:<>?\\|"}.contains(static_cast<char>(point)));
}

/// Characters that long names may hold and short ones may not (page 29).
constexpr bool is_short(char16_t unit) noexcept {
  return unit > 0x20 && unit < 0x7f && !std::u16string_view{u"\"*+,./:;<=>?[\\]|"}.contains(unit);
}

bool is_upper_half(char16_t unit) noexcept { return unit >= 0xd800 && unit < 0xdc00; }
bool is_lower_half(char16_t unit) noexcept { return unit >= 0xdc00 && unit < 0xe000; }

char16_t decode(std::uint8_t byte) noexcept { return byte < 0x80 ? byte : upper_half[byte - 0x80U]; }

}  // namespace

std::optional<Name> Name::from_key(std::string_view part) noexcept {
  Name name;
  if (part.empty() || part.ends_with('.') || part.ends_with(' ')) return std::nullopt;
  while (!part.empty()) {
    const auto point = take_point(part);
    if (!point || is_forbidden(*point)) return std::nullopt;
    bool fits = true;
    if (*point < 0x10000) {
      fits = name.push(static_cast<char16_t>(*point));
    } else {
      fits = name.push(static_cast<char16_t>(0xd800 + ((*point - 0x10000) >> 10))) &&
             name.push(static_cast<char16_t>(0xdc00 + (*point & 0x3ff)));
    }
    if (!fits) return std::nullopt;
  }
  return name;
}

void Name::Utf8::append(char32_t point) noexcept {
  const int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  constexpr std::array<unsigned, 4> leads{0, 0xc0, 0xe0, 0xf0};
  text_[size_++] = static_cast<char>(leads[static_cast<std::size_t>(more)] | point >> (6 * more));
  for (int i = more; i-- > 0;) text_[size_++] = static_cast<char>(0x80 | (point >> (6 * i) & 0x3f));
}

std::optional<Name::Utf8> Name::to_key() const noexcept {
  Utf8 out;
  for (std::size_t i = 0; i < size_; ++i) {
    char32_t point = units_[i];
    if (is_upper_half(units_[i]) && i + 1 < size_ && is_lower_half(units_[i + 1])) {
      point = 0x10000 + ((point & 0x3ff) << 10) + (units_[++i] & 0x3ff);
    } else if (is_upper_half(units_[i]) || is_lower_half(units_[i])) {
      point = 0xfffd;
    }
    if (is_forbidden(point)) return std::nullopt;
    out.append(point);
  }
  const std::string_view text = out.view();
  if (text.empty() || text == "." || text == "..") return std::nullopt;
  return out;
}

char16_t upper_case(char16_t unit) noexcept {
  if (unit < 0x80) return unit >= 'a' && unit <= 'z' ? unit - 32 : unit;
  if (unit >= 0xe0 && unit <= 0xfe && unit != 0xf7) return unit - 32;  // Latin-1
  if (unit == 0xff) return 0x178;
  if (unit >= 0x100 && unit < 0x180) {  // Latin Extended-A: capital and small letter side by side
    if (unit == 0x131 || unit == 0x138 || unit == 0x149 || unit == 0x17f) return unit;
    const bool odd_is_small = unit < 0x138 || (unit >= 0x14a && unit < 0x178);
    return (unit & 1) == (odd_is_small ? 1 : 0) && unit != 0x178 ? unit - 1 : unit;
  }
  if (unit >= 0x3b1 && unit <= 0x3c9 && unit != 0x3c2) return unit - 32;  // Greek
  if (unit >= 0x430 && unit <= 0x44f) return unit - 32;                   // Cyrillic
  if (unit >= 0x450 && unit <= 0x45f) return unit - 80;
  return unit;
}

bool Name::same(const Name& a, const Name& b) noexcept {
  return std::ranges::equal(a.units(), b.units(), {}, upper_case, upper_case);
}

std::uint8_t checksum_of(const ShortName& name) noexcept {
  std::uint8_t sum = 0;
  for (const std::uint8_t byte : name) sum = static_cast<std::uint8_t>((sum >> 1 | sum << 7) + byte);
  return sum;
}

Name name_of(const ShortName& name, std::uint8_t lower) noexcept {
  Name out;
  const auto append = [&](std::size_t at, std::size_t most, bool small) {
    std::size_t size = most;
    while (size > 0 && name[at + size - 1] == ' ') --size;
    for (std::size_t i = at; i < at + size; ++i) {
      // 0x05 stands for 0xe5, which would mean that the entry is free (page 23).
      const char16_t unit = decode(i == 0 && name[0] == 0x05 ? std::uint8_t{0xe5} : name[i]);
      (void)out.push(small && unit >= 'A' && unit <= 'Z' ? static_cast<char16_t>(unit + 32) : unit);
    }
    return size;
  };
  if (append(0, 8, (lower & 0x08) != 0) == 0) return Name{};
  const std::size_t base = out.size();
  (void)out.push(u'.');
  if (append(8, 3, (lower & 0x10) != 0) == 0) out.resize(base);
  return out;
}

Alias alias_of(const Name& name) noexcept {
  Alias alias;
  alias.name.fill(' ');
  alias.exact = alias.fits = true;
  const auto units = name.units();
  // The last dot that has something before and behind it separates the extension (page 31).
  std::size_t start = 0;
  while (start < units.size() && units[start] == '.') ++start;
  std::size_t dot = units.size();
  for (std::size_t i = start + 1; i + 1 < units.size(); ++i) {
    if (units[i] == '.') dot = i;
  }
  if (start != 0) alias.exact = alias.fits = false;
  const auto fill = [&](std::size_t from, std::size_t to, std::size_t at, std::size_t most) {
    std::size_t size = 0;
    for (std::size_t i = from; i < to; ++i) {
      const char16_t unit = units[i];
      const char16_t upper = upper_case(unit);
      if (upper != unit) alias.exact = false;
      const bool dropped = unit == ' ' || unit == '.' || size == most;
      if (dropped || !is_short(upper)) alias.exact = alias.fits = false;
      if (!dropped) alias.name[at + size++] = is_short(upper) ? static_cast<std::uint8_t>(upper) : std::uint8_t{'_'};
    }
  };
  fill(start, dot, 0, 8);
  if (dot < units.size()) fill(dot + 1, units.size(), 8, 3);
  if (alias.name[0] == ' ') {
    alias.name[0] = '_';
    alias.exact = alias.fits = false;
  }
  return alias;
}

ShortName Alias::numbered(std::uint32_t number) const noexcept {
  ShortName out = name;
  std::size_t digits = 1;
  for (std::uint32_t rest = number; rest >= 10; rest /= 10) ++digits;
  std::size_t base = 0;
  while (base < 8 && name[base] != ' ') ++base;
  base = std::min(base, 8 - digits - 1);
  out[base] = '~';
  for (std::size_t i = digits; i-- > 0; number /= 10) out[base + 1 + i] = static_cast<std::uint8_t>('0' + number % 10);
  for (std::size_t i = base + 1 + digits; i < 8; ++i) out[i] = ' ';
  return out;
}

std::uint32_t Alias::number_of(const ShortName& other) const noexcept {
  std::size_t end = 8;
  while (end > 0 && other[end - 1] == ' ') --end;
  std::uint32_t number = 0;
  std::uint32_t place = 1;
  while (end > 0 && other[end - 1] >= '0' && other[end - 1] <= '9' && place < 1'000'000) {
    number += place * (other[--end] - std::uint32_t{'0'});
    place *= 10;
  }
  if (number == 0 || end == 0 || other[end - 1] != '~') return 0;
  return numbered(number) == other ? number : 0;
}

}  // namespace mirage::store::fat
