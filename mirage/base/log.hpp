// SPDX-License-Identifier: ISC
// Log front end: levels per source, one line per message, written through a sink that hangs off the shard.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include <mirage/base/text.hpp>

namespace mirage {

enum class LogLevel : std::uint8_t { quiet, error, warning, info, debug };

/// Where lines go; the target supplies one that writes to the console.
class LogSink {
 public:
  /// One line without its newline.
  virtual void write_line(std::string_view line) noexcept = 0;

 protected:
  ~LogSink() = default;
};

/// Levels and the way to the sink. One per shard.
class Log {
 public:
  static constexpr std::size_t maximum_rules = 16;
  static constexpr std::size_t maximum_source = 24;
  static constexpr std::size_t maximum_line = 512;

  explicit Log(LogSink& sink) noexcept : sink_(&sink) {}
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// "info", "warning,tcp:debug,*:error": a level without a source (or `*`) sets the default. False, and nothing
  /// changed, for an unknown level, an overlong source or too many rules.
  [[nodiscard]] bool configure(std::string_view rules) noexcept;
  [[nodiscard]] bool enabled(LogLevel level, std::string_view source) const noexcept;
  void set_default(LogLevel level) noexcept { default_ = level; }
  /// Lines go to `sink` from now on, which must outlive the log or be taken away; where they went so far.
  LogSink& redirect(LogSink& sink) noexcept { return *std::exchange(sink_, &sink); }

  /// Writes "LEVEL [source] text"; lines longer than maximum_line are cut.
  void write(LogLevel level, std::string_view source, std::string_view text) noexcept;
  /// The same for a format and its arguments, unless the source is not heard at this level: what Logger calls.
  void print(LogLevel level, std::string_view source, std::string_view format,
             std::span<const detail::FormatArgument> arguments) noexcept;

 private:
  struct Rule {
    std::array<char, maximum_source> source{};
    std::uint8_t size = 0;
    LogLevel level = LogLevel::info;
  };
  [[nodiscard]] static bool parse_rule(std::string_view text, std::string_view& source, LogLevel& level) noexcept;
  LogSink* sink_;
  LogLevel default_ = LogLevel::info;
  std::array<Rule, maximum_rules> rules_{};
  std::size_t rule_count_ = 0;
};

/// A source's handle on the log; cheap to copy. `source` must outlive it (a literal).
class Logger {
 public:
  Logger(Log& log, std::string_view source) noexcept : log_(&log), source_(source) {}

  template <class... A>
  void error(FormatString<std::type_identity_t<A>...> format, const A&... arguments) const noexcept {
    emit<A...>(LogLevel::error, format, arguments...);
  }
  template <class... A>
  void warning(FormatString<std::type_identity_t<A>...> format, const A&... arguments) const noexcept {
    emit<A...>(LogLevel::warning, format, arguments...);
  }
  template <class... A>
  void info(FormatString<std::type_identity_t<A>...> format, const A&... arguments) const noexcept {
    emit<A...>(LogLevel::info, format, arguments...);
  }
  template <class... A>
  void debug(FormatString<std::type_identity_t<A>...> format, const A&... arguments) const noexcept {
    emit<A...>(LogLevel::debug, format, arguments...);
  }
  [[nodiscard]] bool enabled(LogLevel level) const noexcept { return log_->enabled(level, source_); }

 private:
  template <class... A>
  void emit(LogLevel level, FormatString<std::type_identity_t<A>...> format, const A&... arguments) const noexcept {
    const std::array<detail::FormatArgument, sizeof...(A)> erased{detail::format_argument(arguments)...};
    log_->print(level, source_, format.text(), erased);
  }
  Log* log_;
  std::string_view source_;
};

}  // namespace mirage
