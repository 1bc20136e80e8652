// SPDX-License-Identifier: ISC
// Incremental decoder of the chunked transfer coding (RFC 9112 section 7.1). Chunk extensions are skipped within bounds
// (section 7.1.1), the trailer section is handed out as it stands.
#pragma once

#include <cstdint>
#include <string_view>

#include <mirage/base/result.hpp>

namespace mirage::http {

class ChunkedDecoder {
 public:
  enum class Error : std::uint8_t { bad_size, bad_ending, line_too_long };
  static constexpr std::uint32_t maximum_line = 1024;             ///< a size line with its extensions
  static constexpr std::uint32_t maximum_extensions = 16 * 1024;  ///< of a whole body: they are work for nothing
  static constexpr std::uint32_t maximum_trailer = 1900;          ///< fits one block of the buffer pool

  /// What the decoder makes of the bytes at the front of the input.
  struct Step {
    std::size_t consumed = 0;  ///< bytes to take off the input
    std::size_t payload = 0;   ///< of those, the last `payload` bytes are body
    std::size_t trailer = 0;   ///< or the last `trailer` bytes are of the trailer section, its empty line included
  };
  /// Consumes framing up to the next run of payload, or all of the input. Call again while input is left.
  [[nodiscard]] Result<Step, Error> step(std::string_view input) noexcept;
  [[nodiscard]] bool finished() const noexcept { return state_ == State::finished; }

 private:
  enum class State : std::uint8_t { size, padding, extension, size_end, data, data_cr, data_lf, trailer, finished };
  [[nodiscard]] Result<void, Error> framing_byte(char c) noexcept;
  [[nodiscard]] Result<void, Error> size_byte(char c) noexcept;
  [[nodiscard]] Result<void, Error> extension_byte(char c) noexcept;
  [[nodiscard]] Result<void, Error> trailer_byte(char c) noexcept;
  State state_ = State::size;
  std::uint64_t left_ = 0;
  std::uint32_t line_ = 0;  // bytes of the current size line
  std::uint32_t digits_ = 0;
  std::uint32_t extensions_ = 0;
  std::uint32_t trailer_ = 0;  // bytes of the whole trailer section
  std::uint32_t trailer_line_ = 0;
  bool carriage_return_ = false;
};

}  // namespace mirage::http
