// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/fat/entry.hpp>

namespace mirage::store::fat {

namespace {

/// Where the units of a part stand (page 27).
constexpr std::array<std::uint8_t, units_per_entry> unit_at{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
constexpr std::size_t long_checksum = 13;
constexpr std::uint8_t last_part = 0x40;

/// Days since 1970 of a date of the Gregorian calendar, and back: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms".
constexpr std::int64_t days_of(std::int64_t year, unsigned month, unsigned day) noexcept {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = year / 400;
  const auto of_era = static_cast<unsigned>(year - era * 400);
  const unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}
static_assert(days_of(1970, 1, 1) == 0 && days_of(2000, 3, 1) == 11017);

constexpr std::uint16_t date_of(std::int64_t days) noexcept {
  days += 719468;
  const std::int64_t era = days / 146097;
  const auto of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * of_year + 2) / 153;
  const unsigned day = of_year - (153 * shifted + 2) / 5 + 1;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  return static_cast<std::uint16_t>(static_cast<unsigned>(year - 1980) << 9 | month << 5 | day);
}
static_assert(date_of(days_of(2023, 11, 14)) == (43 << 9 | 11 << 5 | 14));

}  // namespace

Stamp Stamp::of(WallTime when) noexcept {
  const std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
  constexpr std::int64_t first = days_of(1980, 1, 1) * 86400;
  constexpr std::int64_t last = days_of(2108, 1, 1) * 86400 - 1;
  const std::int64_t within = std::clamp(seconds, first, last);
  const auto of_day = static_cast<unsigned>(within % 86400);
  return {.date = date_of(within / 86400),
          .time = static_cast<std::uint16_t>(of_day / 3600 << 11 | of_day / 60 % 60 << 5 | of_day % 60 / 2)};
}

std::optional<WallTime> Stamp::wall() const noexcept {
  const unsigned month = date >> 5 & 15U;
  const unsigned day = date & 31U;
  const unsigned hour = time >> 11;
  const unsigned minute = time >> 5 & 63U;
  const unsigned second = (time & 31U) * 2;
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const std::int64_t days = days_of(1980 + (date >> 9), month, day);
  return WallTime{std::chrono::seconds{days * 86400 + hour * 3600 + minute * 60 + second}};
}

Entry Entry::parse(Bytes bytes, Type type) noexcept {
  Entry entry;
  std::ranges::transform(bytes.first(11), entry.name.begin(),
                         [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
  entry.attributes = std::to_integer<std::uint8_t>(bytes[entry_at::attributes]);
  entry.lower = std::to_integer<std::uint8_t>(bytes[entry_at::lower]);
  entry.cluster = load_little<std::uint16_t>(bytes, entry_at::cluster_low);
  // Others use the upper half for something else on FAT12 and FAT16.
  if (type == Type::fat32)
    entry.cluster |= std::uint32_t{load_little<std::uint16_t>(bytes, entry_at::cluster_high)} << 16;
  entry.size = load_little<std::uint32_t>(bytes, entry_at::size);
  entry.stamp = {.date = load_little<std::uint16_t>(bytes, entry_at::date),
                 .time = load_little<std::uint16_t>(bytes, entry_at::time)};
  return entry;
}

void Entry::emit(MutableBytes bytes) const noexcept {
  std::ranges::fill(bytes, std::byte{0});
  std::ranges::copy(std::as_bytes(std::span{name}), bytes.begin());
  bytes[entry_at::attributes] = std::byte{attributes};
  bytes[entry_at::lower] = std::byte{lower};
  store_little(bytes, entry_at::create_time, stamp.time);
  store_little(bytes, entry_at::create_date, stamp.date);
  update(bytes, cluster, size, stamp);
}

void Entry::update(MutableBytes bytes, std::uint32_t cluster, std::uint32_t size, Stamp stamp) noexcept {
  store_little(bytes, entry_at::access_date, stamp.date);
  store_little(bytes, entry_at::cluster_high, static_cast<std::uint16_t>(cluster >> 16));
  store_little(bytes, entry_at::time, stamp.time);
  store_little(bytes, entry_at::date, stamp.date);
  store_little(bytes, entry_at::cluster_low, static_cast<std::uint16_t>(cluster));
  store_little(bytes, entry_at::size, size);
}

void LongName::take(Bytes entry, std::uint32_t index) noexcept {
  const auto ordinal = std::to_integer<std::uint8_t>(entry[0]);
  const auto number = static_cast<std::uint8_t>(ordinal & ~last_part);
  const auto sum = std::to_integer<std::uint8_t>(entry[long_checksum]);
  complete_ = false;
  if ((ordinal & last_part) != 0) {
    if (number == 0 || number > 20) return reset();
    expected_ = number;
    checksum_ = sum;
    first_ = index;
    name_.resize(std::min<std::size_t>(number * units_per_entry, maximum_name));
  }
  if (expected_ == 0 || number != expected_ || sum != checksum_) return reset();
  const std::size_t start = (number - std::size_t{1}) * units_per_entry;
  for (std::size_t i = 0; i < units_per_entry && start + i < maximum_name; ++i) {
    const auto unit = static_cast<char16_t>(load_little<std::uint16_t>(entry, unit_at[i]));
    if (unit == 0) {  // the end, in the last part only
      if ((ordinal & last_part) == 0) return reset();
      name_.resize(start + i);
      break;
    }
    name_.assign(start + i, unit);
  }
  if (--expected_ == 0) complete_ = name_.size() != 0;
}

void emit_long(MutableBytes entry, const Name& name, std::uint32_t ordinal, std::uint32_t count,
               std::uint8_t checksum) noexcept {
  std::ranges::fill(entry, std::byte{0});
  entry[0] = static_cast<std::byte>(ordinal == count ? ordinal | last_part : ordinal);
  entry[entry_at::attributes] = std::byte{attribute::long_name};
  entry[long_checksum] = std::byte{checksum};
  const std::size_t start = (ordinal - std::size_t{1}) * units_per_entry;
  for (std::size_t i = 0; i < units_per_entry; ++i) {
    // A zero ends the name where it does not fill the entry; what is behind is all ones (page 29).
    const std::size_t at = start + i;
    const std::uint16_t unit = at < name.size() ? name.units()[at] : at == name.size() ? 0 : 0xffff;
    store_little(entry, unit_at[i], unit);
  }
}

}  // namespace mirage::store::fat
