// SPDX-License-Identifier: ISC
#include <mirage/base/address.hpp>
#include <mirage/http/chunked.hpp>

namespace mirage::http {

Result<void, ChunkedDecoder::Error> ChunkedDecoder::size_byte(char c) noexcept {
  const int digit = detail::hex_digit(c);
  if (digit >= 0) {
    if (++digits_ > 15) return Failure{Error::bad_size};
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);
    return {};
  }
  if (digits_ == 0) return Failure{Error::bad_size};
  if (c == '\r') {
    state_ = State::size_end;
  } else if (c == ';') {
    state_ = State::extension;
  } else if (c == ' ' || c == '\t') {
    state_ = State::padding;
  } else {
    return Failure{Error::bad_size};
  }
  return {};
}

Result<void, ChunkedDecoder::Error> ChunkedDecoder::extension_byte(char c) noexcept {
  if (++line_ > maximum_line || ++extensions_ > maximum_extensions) return Failure{Error::line_too_long};
  if (state_ == State::padding) {  // white space is for an extension to follow, not for the end of the line
    if (c == ' ' || c == '\t') return {};
    if (c != ';') return Failure{Error::bad_size};
    state_ = State::extension;
    return {};
  }
  if (c == '\r') {
    state_ = State::size_end;
    return {};
  }
  const bool control = (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  return control ? Result<void, Error>{Failure{Error::bad_ending}} : Result<void, Error>{};
}

Result<void, ChunkedDecoder::Error> ChunkedDecoder::trailer_byte(char c) noexcept {
  if (++trailer_ > maximum_trailer) return Failure{Error::line_too_long};
  if (c == '\n') {
    if (!carriage_return_) return Failure{Error::bad_ending};
    if (trailer_line_ == 0) state_ = State::finished;
    trailer_line_ = 0;
    carriage_return_ = false;
    return {};
  }
  if (carriage_return_) return Failure{Error::bad_ending};
  carriage_return_ = c == '\r';
  if (!carriage_return_) ++trailer_line_;
  return {};
}

Result<void, ChunkedDecoder::Error> ChunkedDecoder::framing_byte(char c) noexcept {
  switch (state_) {
    case State::size:
      if (++line_ > maximum_line) return Failure{Error::line_too_long};
      return size_byte(c);
    case State::padding:
    case State::extension:
      return extension_byte(c);
    case State::size_end:
      if (c != '\n') return Failure{Error::bad_ending};
      state_ = left_ == 0 ? State::trailer : State::data;
      return {};
    case State::data_cr:
      if (c != '\r') return Failure{Error::bad_ending};
      state_ = State::data_lf;
      return {};
    case State::data_lf:
      if (c != '\n') return Failure{Error::bad_ending};
      state_ = State::size;
      left_ = line_ = digits_ = 0;
      return {};
    case State::trailer:
      return trailer_byte(c);
    case State::data:
    case State::finished:
      break;
  }
  return {};
}

Result<ChunkedDecoder::Step, ChunkedDecoder::Error> ChunkedDecoder::step(std::string_view input) noexcept {
  Step step;
  while (step.consumed < input.size() && state_ != State::finished) {
    if (state_ == State::data) {
      const std::uint64_t there = input.size() - step.consumed;
      step.payload = static_cast<std::size_t>(there < left_ ? there : left_);
      left_ -= step.payload;
      step.consumed += step.payload;
      if (left_ == 0) state_ = State::data_cr;
      return step;
    }
    if (state_ == State::trailer) ++step.trailer;
    MIRAGE_CHECK(framing_byte(input[step.consumed++]));
  }
  return step;
}

}  // namespace mirage::http
