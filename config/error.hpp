// SPDX-License-Identifier: ISC
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mirage::plan {

/// What went wrong, for a person: where, what, and what to do about it. The host's tools end with it; nothing of a
/// unikernel does.
class Error : public std::runtime_error {
 public:
  /// `place` is "config.cpp:7" or empty; `mend` is a sentence or empty.
  Error(std::string place, const std::string& message, std::string mend = {})
      : std::runtime_error(message), place_(std::move(place)), mend_(std::move(mend)) {}
  [[nodiscard]] const std::string& place() const noexcept { return place_; }
  [[nodiscard]] const std::string& mend() const noexcept { return mend_; }
  /// What else is wrong, where that is known: the compiler does not stop at a file's first error.
  [[nodiscard]] const std::vector<Error>& more() const noexcept { return more_; }
  void add(Error further) { more_.push_back(std::move(further)); }

 private:
  std::string place_;
  std::string mend_;
  std::vector<Error> more_;
};

/// The command line is wrong: exit status 2 instead of 1.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace mirage::plan
