// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <bitset>
#include <limits>

#include <mirage/base/checked.hpp>
#include <mirage/base/option.hpp>
#include <mirage/base/text.hpp>

namespace mirage {

namespace {

template <std::unsigned_integral T>
bool read_unsigned(std::string_view text, T& out) noexcept {
  const auto value = parse_unsigned<std::uint64_t>(text);
  if (!value || *value > std::numeric_limits<T>::max()) return false;
  out = static_cast<T>(*value);
  return true;
}

template <std::signed_integral T>
bool read_signed(std::string_view text, T& out) noexcept {
  const bool negative = text.starts_with('-');
  const auto magnitude = parse_unsigned<std::uint64_t>(text.substr(negative ? 1 : 0));
  const auto limit = static_cast<std::uint64_t>(std::numeric_limits<T>::max()) + (negative ? 1U : 0U);
  if (!magnitude || *magnitude > limit) return false;
  out = static_cast<T>(negative ? 0 - *magnitude : *magnitude);
  return true;
}

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr std::array<Unit, 7> units{{{"ns", 1},
                                     {"us", 1'000},
                                     {"ms", 1'000'000},
                                     {"s", 1'000'000'000},
                                     {"", 1'000'000'000},
                                     {"m", 60'000'000'000},
                                     {"h", 3'600'000'000'000}}};

template <class T>
bool read_with(std::optional<T> value, T& out) noexcept {
  if (value) out = *value;
  return value.has_value();
}

/// The first of a list, of that version. The others are read when they are used.
bool read_list(std::string_view text, bool v4, PrefixList<IpPrefix>& out) noexcept {
  const std::size_t size = std::min(text.find(','), text.size());
  const auto first = IpPrefix::parse(text.substr(0, size));
  if (!first || first->address.is_v4() != v4) return false;
  out = {*first, text.substr(std::min(size + 1, text.size()))};
  return true;
}

}  // namespace

bool parse_value(std::string_view text, bool& out) noexcept {
  const bool yes = text == "true";
  if (!yes && text != "false") return false;
  out = yes;
  return true;
}
bool parse_value(std::string_view text, std::uint8_t& out) noexcept { return read_unsigned(text, out); }
bool parse_value(std::string_view text, std::uint16_t& out) noexcept { return read_unsigned(text, out); }
bool parse_value(std::string_view text, std::uint32_t& out) noexcept { return read_unsigned(text, out); }
bool parse_value(std::string_view text, std::uint64_t& out) noexcept { return read_unsigned(text, out); }
bool parse_value(std::string_view text, std::int8_t& out) noexcept { return read_signed(text, out); }
bool parse_value(std::string_view text, std::int16_t& out) noexcept { return read_signed(text, out); }
bool parse_value(std::string_view text, std::int32_t& out) noexcept { return read_signed(text, out); }
bool parse_value(std::string_view text, std::int64_t& out) noexcept { return read_signed(text, out); }
bool parse_value(std::string_view text, Ipv4Address& out) noexcept { return read_with(Ipv4Address::parse(text), out); }
bool parse_value(std::string_view text, Ipv4Prefix& out) noexcept { return read_with(Ipv4Prefix::parse(text), out); }
bool parse_value(std::string_view text, IpAddress& out) noexcept { return read_with(IpAddress::parse(text), out); }
bool parse_value(std::string_view text, IpPrefix& out) noexcept { return read_with(IpPrefix::parse(text), out); }
bool parse_value(std::string_view text, PrefixList<IpPrefix>& out) noexcept { return read_list(text, false, out); }
bool parse_value(std::string_view text, PrefixList<Ipv4Prefix>& out) noexcept {
  PrefixList<IpPrefix> list;
  if (!read_list(text, true, list)) return false;
  out = {{list.first.address.v4(), static_cast<std::uint8_t>(list.first.length - 96)}, list.further};
  return true;
}
bool parse_value(std::string_view text, std::string_view& out) noexcept {
  out = text;
  return true;
}

bool parse_value(std::string_view text, Duration& out) noexcept {
  const auto digits = text.find_first_not_of("0123456789");
  const auto number = text.substr(0, digits);
  const auto unit = digits == std::string_view::npos ? std::string_view{} : text.substr(digits);
  for (const Unit& each : units) {
    if (each.name != unit) continue;
    std::int64_t count = 0;
    std::int64_t nanoseconds = 0;
    if (!read_signed(number, count) || __builtin_mul_overflow(count, each.nanoseconds, &nanoseconds)) return false;
    out = Duration{nanoseconds};
    return true;
  }
  return false;
}

namespace {

/// Levenshtein distance; names longer than the row count as far away.
std::size_t distance(std::string_view a, std::string_view b) noexcept {
  std::array<std::size_t, 33> row{};
  if (b.size() >= row.size()) return row.size();
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min(replaced, std::min(row[j], diagonal) + 1);
    }
  }
  return row[b.size()];
}

template <class Row>
const Row* nearest(std::span<const Row> options, std::string_view name) noexcept {
  const Row* best = nullptr;
  std::size_t best_distance = name.size() < 4 ? 2 : 3;
  for (const Row& option : options) {
    const std::size_t far = distance(name, option.name);
    if (far >= best_distance) continue;
    best = &option;
    best_distance = far;
  }
  return best;
}

/// The parse of one command line.
class Reader {
 public:
  Reader(std::string_view program, std::span<const OptionRow> options, void* keys, LogSink& output) noexcept
      : program_(program), options_(options), keys_(keys), output_(output) {}

  OptionOutcome read(std::span<char* const> arguments) noexcept {
    while (!arguments.empty()) {
      const OptionOutcome outcome = read_one(arguments);
      if (outcome != OptionOutcome::ready) return outcome;
    }
    return check_required();
  }

 private:
  /// Takes one option, with its value, from the front.
  OptionOutcome read_one(std::span<char* const>& arguments) noexcept {
    const std::string_view word = arguments.front();
    arguments = arguments.subspan(1);
    if (word == "--help") return help();
    if (!word.starts_with("--")) return complain("unexpected argument '{}': options begin with --", word);
    const auto equals = word.find('=');
    const std::string_view name = word.substr(2, equals == std::string_view::npos ? equals : equals - 2);
    const OptionRow* option = find(name);
    if (option == nullptr) return unknown(name);
    if (equals != std::string_view::npos) return assign(*option, word.substr(equals + 1));
    if (option->form == Option::Form::flag) return assign(*option, "true");
    if (arguments.empty()) return complain("option --{} needs a value: {}", name, option->expected);
    const std::string_view value = arguments.front();
    arguments = arguments.subspan(1);
    return assign(*option, value);
  }

  OptionOutcome assign(const OptionRow& option, std::string_view value) noexcept {
    if (!option.assign(keys_, value)) {
      return complain("bad value '{}' for --{}: expected {}", value, option.name, option.expected);
    }
    given_[index_of(option)] = true;
    return OptionOutcome::ready;
  }

  OptionOutcome check_required() noexcept {
    for (const OptionRow& option : options_) {
      if (option.form == Option::Form::required && !given_[index_of(option)]) {
        return complain("missing option --{}: {} ({})", option.name, option.doc, option.expected);
      }
    }
    return OptionOutcome::ready;
  }

  OptionOutcome unknown(std::string_view name) noexcept {
    const OptionRow* near = nearest(options_, name);
    if (near == nullptr) return complain("unknown option --{} (--help lists the options)", name);
    return complain("unknown option --{} (did you mean --{}?)", name, near->name);
  }

  OptionOutcome help() noexcept {
    output_.write_line(Text<Log::maximum_line>{"{}: options", program_});
    for (const OptionRow& option : options_) {
      Text<Log::maximum_line> line{"  --{}", option.name};
      if (option.form != Option::Form::flag) format_to(line.writer(), "=VALUE");
      while (line.view().size() < 24) line.writer().append(' ');
      format_to(line.writer(), " {}; {}", option.doc, option.expected);
      const bool required = option.form == Option::Form::required;
      if (!required && *option.fallback == '\0') {
        output_.write_line(line);
        continue;
      }
      if (required) format_to(line.writer(), " (required)");
      if (!required) format_to(line.writer(), " (default: {})", option.fallback);
      output_.write_line(line);
    }
    return OptionOutcome::help;
  }

  template <class... A>
  OptionOutcome complain(FormatString<std::type_identity_t<A>...> format, const A&... arguments) noexcept {
    const std::array<detail::FormatArgument, sizeof...(A)> erased{detail::format_argument(arguments)...};
    return complain(format.text(), erased);
  }
  /// Not a template: an image has it once.
  OptionOutcome complain(std::string_view format, std::span<const detail::FormatArgument> arguments) noexcept {
    Text<Log::maximum_line> line{"{}: ", program_};
    detail::format_erased(line.writer(), format, arguments);
    output_.write_line(line);
    return OptionOutcome::usage;
  }

  [[nodiscard]] const OptionRow* find(std::string_view name) const noexcept {
    for (const OptionRow& option : options_) {
      if (option.name == name) return &option;
    }
    return nullptr;
  }
  [[nodiscard]] std::size_t index_of(const OptionRow& option) const noexcept {
    return static_cast<std::size_t>(&option - options_.data());
  }

  std::string_view program_;
  std::span<const OptionRow> options_;
  void* keys_;
  LogSink& output_;
  std::bitset<maximum_options> given_;
};

}  // namespace

const Option* nearest_option(std::span<const Option> options, std::string_view name) noexcept {
  return nearest(options, name);
}

OptionOutcome parse_options(std::string_view program, std::span<const OptionRow> options,
                            std::span<char* const> arguments, void* keys, LogSink& output) noexcept {
  return Reader(program, options, keys, output).read(arguments);
}

}  // namespace mirage
