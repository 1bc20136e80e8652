// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/target/hvt/tender/gdb_packet.hpp>

namespace mirage::target::hvt::gdb {

namespace {

constexpr char interrupt_byte = 3;
constexpr char escape_byte = '}';
constexpr char escape_mask = 0x20;
constexpr std::string_view digits = "0123456789abcdef";

}  // namespace

void PacketReader::append(char byte) {
  if (size_ == payload_.size()) {
    overflow_ = true;
    return;
  }
  payload_[size_++] = byte;
}

PacketReader::Event PacketReader::feed(char byte) {
  if (byte == '$') {  // nowhere else unescaped: a packet that was cut off is forgotten
    state_ = State::payload;
    size_ = 0;
    sum_ = 0;
    overflow_ = false;
    return Event::none;
  }
  switch (state_) {
    case State::idle:
      return byte == interrupt_byte ? Event::interrupt : Event::none;  // '+' and '-' say nothing that we need
    case State::payload:
      if (byte == '#') {
        state_ = State::checksum_high;
        return Event::none;
      }
      sum_ = static_cast<std::uint8_t>(sum_ + static_cast<std::uint8_t>(byte));
      if (byte == escape_byte) {
        state_ = State::escape;
      } else {
        append(byte);
      }
      return Event::none;
    case State::escape:
      sum_ = static_cast<std::uint8_t>(sum_ + static_cast<std::uint8_t>(byte));
      append(static_cast<char>(byte ^ escape_mask));
      state_ = State::payload;
      return Event::none;
    case State::checksum_high:
      high_ = digit(byte);
      state_ = State::checksum_low;
      return Event::none;
    case State::checksum_low:
      break;
  }
  state_ = State::idle;
  const auto low = digit(byte);
  const bool good = !overflow_ && high_ && low && *high_ * 16 + *low == sum_;
  return good ? Event::packet : Event::corrupt;
}

Reply& Reply::text(std::string_view text) {
  const std::size_t count = std::min(text.size(), text_.size() - size_);
  std::copy_n(text.data(), count, text_.data() + size_);
  size_ += count;
  return *this;
}

Reply& Reply::byte(std::uint8_t byte) {
  const char pair[2] = {digits[byte >> 4U], digits[byte & 15U]};
  return text({pair, 2});
}

Reply& Reply::bytes(std::span<const std::byte> bytes) {
  for (const std::byte one : bytes) {
    byte(std::to_integer<std::uint8_t>(one));
  }
  return *this;
}

Reply& Reply::number(std::uint64_t number) {
  std::array<char, 16> reversed;
  std::size_t first = reversed.size();
  do {
    reversed[--first] = digits[number & 15U];
    number >>= 4U;
  } while (number != 0);
  return text({reversed.data() + first, reversed.size() - first});
}

std::string_view frame(std::string_view payload, std::span<char> out) {
  std::uint8_t sum = 0;
  std::size_t size = 0;
  out[size++] = '$';
  for (const char character : payload) {
    out[size++] = character;
    sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(character));
  }
  out[size++] = '#';
  out[size++] = digits[sum >> 4U];
  out[size++] = digits[sum & 15U];
  return {out.data(), size};
}

bool Scanner::skip(std::string_view text) {
  if (!rest_.starts_with(text)) {
    return false;
  }
  rest_.remove_prefix(text.size());
  return true;
}

std::optional<std::uint64_t> Scanner::number() {
  constexpr std::size_t most = 16;
  std::uint64_t value = 0;
  std::size_t count = 0;
  while (count < rest_.size() && count < most) {
    const auto next = digit(rest_[count]);
    if (!next) {
      break;
    }
    value = value << 4U | *next;
    ++count;
  }
  rest_.remove_prefix(count);
  return count == 0 ? std::nullopt : std::optional{value};
}

bool Scanner::bytes(std::span<std::byte> out) {
  if (rest_.size() / 2 < out.size()) {
    return false;
  }
  for (std::byte& byte : out) {
    const auto high = digit(rest_[0]);
    const auto low = digit(rest_[1]);
    if (!high || !low) {
      return false;
    }
    byte = static_cast<std::byte>(*high << 4U | *low);
    rest_.remove_prefix(2);
  }
  return true;
}

}  // namespace mirage::target::hvt::gdb
