// SPDX-License-Identifier: ISC
#include <array>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/runtime/argument.hpp>

using namespace mirage::runtime;
using mirage::Result;

namespace {

Result<std::vector<std::string>, SplitError> split(std::string_view line, std::size_t storage_size = 256) {
  std::vector<char> storage(storage_size);
  std::array<char*, 8> words{};
  const auto count = split_command_line(line, storage, words);
  if (!count) return mirage::Failure{count.error()};
  return std::vector<std::string>(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(*count));
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("words, blanks and quotes") {
  CHECK(split("") == Words{});
  CHECK(split(" \t\r\n ") == Words{});
  CHECK(split("--port=80  -l *:debug ") == Words{"--port=80", "-l", "*:debug"});
  CHECK(split("'a b' \"c d\"") == Words{"a b", "c d"});
  CHECK(split("x'a b'y\"c\"") == Words{"xa byc"});
  CHECK(split("'' \"\" z") == Words{"", "", "z"});
}

TEST_CASE("backslashes") {
  CHECK(split(R"(a\ b \\ \' \")") == Words{"a b", "\\", "'", "\""});
  CHECK(split(R"('a\b' "a\b" "a\"b\\\$\`")") == Words{"a\\b", "a\\b", "a\"b\\$`"});
}

TEST_CASE("malformed lines are refused") {
  CHECK(split("'abc").error() == SplitError::unterminated_quote);
  CHECK(split("a \"b\\\"").error() == SplitError::unterminated_quote);
  CHECK(split("abc\\").error() == SplitError::trailing_backslash);
  CHECK(split("1 2 3 4 5 6 7 8").has_value());
  CHECK(split("1 2 3 4 5 6 7 8 9").error() == SplitError::too_many);
  CHECK(split("abc", 3).error() == SplitError::too_long);
  CHECK(split("abc", 4).has_value());
  CHECK(std::string(describe(SplitError::too_many)).find("many") != std::string::npos);
}

TEST_CASE("storage of one byte more than the line always suffices") {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string line;
    for (unsigned n = random() % 20; n > 0; --n) line += "ab \\'\"\t$"[random() % 8];
    const auto words = split(line, line.size() + 1);
    if (!words) CHECK(words.error() != SplitError::too_long);
  }
}
