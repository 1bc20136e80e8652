// SPDX-License-Identifier: ISC
#include <mirage/runtime/argument.hpp>

namespace mirage::runtime {

namespace {

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Reads one word at a time from the line into the storage.
class Splitter {
 public:
  Splitter(std::string_view line, std::span<char> storage) noexcept : line_(line), storage_(storage) {}

  /// Skips blanks; true when a word follows.
  bool more() noexcept {
    while (!at_end() && is_blank(line_[at_])) ++at_;
    return !at_end();
  }

  Result<char*, SplitError> word() noexcept {
    char* const start = storage_.data() + used_;
    while (!at_end() && !is_blank(line_[at_])) MIRAGE_CHECK(piece(line_[at_++]));
    if (!put('\0')) return Failure{SplitError::too_long};
    return start;
  }

 private:
  [[nodiscard]] bool at_end() const noexcept { return at_ == line_.size(); }

  bool put(char c) noexcept {
    if (used_ == storage_.size()) return false;
    storage_[used_++] = c;
    return true;
  }

  Result<void, SplitError> keep(char c) noexcept {
    if (!put(c)) return Failure{SplitError::too_long};
    return {};
  }

  Result<void, SplitError> piece(char c) noexcept {
    if (c == '\'' || c == '"') return quoted(c);
    if (c != '\\') return keep(c);
    if (at_end()) return Failure{SplitError::trailing_backslash};
    return keep(line_[at_++]);
  }

  Result<void, SplitError> quoted(char quote) noexcept {
    while (!at_end()) {
      char c = line_[at_++];
      if (c == quote) return {};
      if (c == '\\' && quote == '"' && !at_end() && std::string_view("\"\\$`").contains(line_[at_])) c = line_[at_++];
      MIRAGE_CHECK(keep(c));
    }
    return Failure{SplitError::unterminated_quote};
  }

  std::string_view line_;
  std::span<char> storage_;
  std::size_t at_ = 0;
  std::size_t used_ = 0;
};

}  // namespace

const char* describe(SplitError error) noexcept {
  switch (error) {
    case SplitError::too_long:
      return "command line: too long";
    case SplitError::too_many:
      return "command line: too many arguments";
    case SplitError::unterminated_quote:
      return "command line: a quote is not closed";
    case SplitError::trailing_backslash:
      return "command line: ends in a backslash";
  }
  return "command line: malformed";
}

Result<std::size_t, SplitError> split_command_line(std::string_view line, std::span<char> storage,
                                                   std::span<char*> words) noexcept {
  Splitter splitter(line, storage);
  std::size_t count = 0;
  while (splitter.more()) {
    if (count == words.size()) return Failure{SplitError::too_many};
    MIRAGE_TRY(words[count], splitter.word());
    ++count;
  }
  return count;
}

}  // namespace mirage::runtime
