// SPDX-License-Identifier: ISC
// The Internet checksum: RFC 1071 (computation), RFC 1624 (incremental update). Read both before editing.
// The sum is one's complement addition of 16-bit words, so it may be computed in any byte order and in wide words and
// folded at the end; at run time eight bytes are added at once, at compile time two.
#pragma once

#include <cstdint>
#include <type_traits>

#include <mirage/base/address.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/bytes.hpp>

namespace mirage::wire {

namespace detail {
/// One's complement sum of the bytes as big-endian words (an odd last byte is padded with zero), folded to 16 bits.
[[nodiscard]] std::uint16_t sum_words(Bytes bytes) noexcept;
}  // namespace detail

/// Folds the carries of a sum into its low 16 bits.
[[nodiscard]] constexpr std::uint16_t fold(std::uint64_t sum) noexcept {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

/// One's complement sum of `bytes` added to `initial` (a sum as this function returns it; host order, not inverted).
[[nodiscard]] constexpr std::uint32_t sum_of(Bytes bytes, std::uint32_t initial = 0) noexcept {
  if consteval {
    std::uint64_t sum = initial;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += load_big<std::uint16_t>(bytes, i);
    if (bytes.size() % 2 != 0) sum += std::to_integer<std::uint64_t>(bytes.back()) << 8;
    return fold(sum);
  } else {
    return fold(std::uint64_t{initial} + detail::sum_words(bytes));
  }
}

/// A sum over pieces of any size, odd ones included.
class ChecksumSum {
 public:
  constexpr explicit ChecksumSum(std::uint32_t initial = 0) noexcept : sum_(initial) {}
  constexpr void add(Bytes bytes) noexcept {
    const auto part = static_cast<std::uint16_t>(sum_of(bytes));
    // RFC 1071 2(B): a piece that starts at an odd place has its bytes swapped.
    sum_ += odd_ ? static_cast<std::uint16_t>(part << 8 | part >> 8) : part;
    odd_ ^= bytes.size() % 2 != 0;
  }
  void add(const SliceList& slices) noexcept {
    for (const Slice& slice : slices) add(slice.bytes());
  }
  /// The sum, folded and not inverted.
  [[nodiscard]] constexpr std::uint16_t sum() const noexcept { return fold(sum_); }
  /// What goes into a checksum field.
  [[nodiscard]] constexpr std::uint16_t checksum() const noexcept { return static_cast<std::uint16_t>(~sum()); }

 private:
  std::uint64_t sum_;
  bool odd_ = false;
};

/// The checksum field's value for `bytes` whose own field is zero.
[[nodiscard]] constexpr std::uint16_t checksum_of(Bytes bytes, std::uint32_t initial = 0) noexcept {
  return static_cast<std::uint16_t>(~fold(sum_of(bytes, initial)));
}

/// True when `bytes`, checksum field included, sum up as they must.
[[nodiscard]] constexpr bool checksum_is_valid(Bytes bytes, std::uint32_t initial = 0) noexcept {
  return fold(sum_of(bytes, initial)) == 0xffff;
}

/// The checksum after one 16-bit word changed from `before` to `after`. RFC 1624 equation 3.
[[nodiscard]] constexpr std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t before,
                                                      std::uint16_t after) noexcept {
  const std::uint32_t sum =
      std::uint32_t{static_cast<std::uint16_t>(~checksum)} + static_cast<std::uint16_t>(~before) + after;
  return static_cast<std::uint16_t>(~fold(sum));
}
/// The same for a 32-bit word (an address).
[[nodiscard]] constexpr std::uint16_t checksum_update(std::uint16_t checksum, std::uint32_t before,
                                                      std::uint32_t after) noexcept {
  const auto high =
      checksum_update(checksum, static_cast<std::uint16_t>(before >> 16), static_cast<std::uint16_t>(after >> 16));
  return checksum_update(high, static_cast<std::uint16_t>(before), static_cast<std::uint16_t>(after));
}

/// Source and destination of the pseudo-header (RFC 9293 3.1, RFC 768): add protocol and length with
/// pseudo_header_complete().
[[nodiscard]] constexpr std::uint32_t pseudo_header_sum(Ipv4Address source, Ipv4Address destination) noexcept {
  return (source.value >> 16) + (source.value & 0xffff) + (destination.value >> 16) + (destination.value & 0xffff);
}
/// The same for either version (RFC 8200 8.1): an IPv4-mapped address adds 0xffff, which is zero in one's complement.
[[nodiscard]] constexpr std::uint32_t pseudo_header_sum(const IpAddress& source,
                                                        const IpAddress& destination) noexcept {
  const auto words = [](std::uint64_t value) {
    return (value >> 48) + (value >> 32 & 0xffff) + (value >> 16 & 0xffff) + (value & 0xffff);
  };
  return static_cast<std::uint32_t>(words(source.high()) + words(source.low()) + words(destination.high()) +
                                    words(destination.low()));
}
[[nodiscard]] constexpr std::uint16_t pseudo_header_complete(std::uint32_t addresses, std::uint8_t protocol,
                                                             std::uint32_t length) noexcept {
  return fold(std::uint64_t{addresses} + protocol + (length >> 16) + (length & 0xffff));
}

}  // namespace mirage::wire
