// SPDX-License-Identifier: ISC
// Command lines from arbitrary bytes: storage of one byte more than the line suffices, every word ends inside it.
#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <mirage/runtime/argument.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mirage::runtime;
  std::vector<char> storage(size + 1);
  std::array<char*, 16> words{};
  const auto count = split_command_line({reinterpret_cast<const char*>(data), size}, storage, words);
  if (!count) {
    if (count.error() == SplitError::too_long) std::abort();
    return 0;
  }
  if (*count > words.size()) std::abort();
  for (const char* word : std::span(words).first(*count)) {
    const auto offset = static_cast<std::size_t>(word - storage.data());
    if (std::memchr(word, '\0', storage.size() - offset) == nullptr) std::abort();
  }
  return 0;
}
