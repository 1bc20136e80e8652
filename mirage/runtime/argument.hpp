// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/result.hpp>

namespace mirage::runtime {

enum class SplitError : std::uint8_t {
  too_long,            ///< the words do not fit into the storage
  too_many,            ///< more words than the array has places
  unterminated_quote,  ///< a quote is opened and not closed
  trailing_backslash   ///< a backslash with nothing after it
};

/// One line for the console.
[[nodiscard]] const char* describe(SplitError error) noexcept;

/// Splits a command line into words as a POSIX shell would, without expansions (XCU 2.2): words end at blanks; in
/// '...' everything is literal; in "..." a backslash escapes " \ $ ` only; elsewhere it escapes any character. An
/// empty quoted word is a word. Words are copied, NUL-terminated, into `storage` (`line.size() + 1` bytes suffice)
/// and `words` points at them. Returns the number of words.
[[nodiscard]] Result<std::size_t, SplitError> split_command_line(std::string_view line, std::span<char> storage,
                                                                 std::span<char*> words) noexcept;

}  // namespace mirage::runtime
