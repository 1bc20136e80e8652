// SPDX-License-Identifier: ISC
#include <mirage/base/log.hpp>

namespace mirage {
namespace {

constexpr std::array<std::string_view, 5> level_names{"quiet", "error", "warning", "info", "debug"};

/// Splits at the first `separator`; `text` keeps what follows it.
std::string_view take_until(std::string_view& text, char separator) noexcept {
  const auto at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return part;
}

}  // namespace

bool Log::parse_rule(std::string_view text, std::string_view& source, LogLevel& level) noexcept {
  source = text.find(':') == std::string_view::npos ? std::string_view{"*"} : take_until(text, ':');
  if (source.empty() || source.size() > maximum_source) return false;
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (level_names[i] != text) continue;
    level = static_cast<LogLevel>(i);
    return true;
  }
  return false;
}

bool Log::configure(std::string_view text) noexcept {
  auto rules = rules_;
  std::size_t count = rule_count_;
  LogLevel default_level = default_;
  while (!text.empty()) {
    std::string_view source;
    LogLevel level{};
    if (!parse_rule(take_until(text, ','), source, level)) return false;
    if (source == "*") {
      default_level = level;
      continue;
    }
    if (count == rules.size()) return false;
    Rule& rule = rules[count++];
    std::memcpy(rule.source.data(), source.data(), source.size());
    rule.size = static_cast<std::uint8_t>(source.size());
    rule.level = level;
  }
  rules_ = rules;
  rule_count_ = count;
  default_ = default_level;
  return true;
}

bool Log::enabled(LogLevel level, std::string_view source) const noexcept {
  for (std::size_t i = rule_count_; i-- > 0;) {
    const Rule& rule = rules_[i];
    if (std::string_view(rule.source.data(), rule.size) == source) return level <= rule.level;
  }
  return level <= default_;
}

void Log::write(LogLevel level, std::string_view source, std::string_view text) noexcept {
  const Text<maximum_line> line{"{} [{}] {}", level_names[static_cast<std::size_t>(level)], source, text};
  sink_->write_line(line);
}

void Log::print(LogLevel level, std::string_view source, std::string_view format,
                std::span<const detail::FormatArgument> arguments) noexcept {
  if (!enabled(level, source)) return;
  Text<maximum_line> text;
  detail::format_erased(text.writer(), format, arguments);
  write(level, source, text);
}

}  // namespace mirage
