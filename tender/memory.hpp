// SPDX-License-Identifier: ISC
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include <sys/mman.h>

#include <tender/error.hpp>

namespace mirage::tender {

inline constexpr std::uint64_t page_size = 4096;

/// An address as the guest sees it: never dereferenced, only exchanged at the gate (`GuestMemory::window`).
enum class GuestAddress : std::uint64_t {};

/// Sum, product or rounding that did not overflow, else nothing. All arithmetic on numbers from a guest or an image
/// goes through these.
template <std::unsigned_integral T>
constexpr std::optional<T> checked_add(T a, std::type_identity_t<T> b) {
  T sum;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional<T>{sum};
}
template <std::unsigned_integral T>
constexpr std::optional<T> checked_multiply(T a, std::type_identity_t<T> b) {
  T product;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional<T>{product};
}
constexpr std::uint64_t page_down(std::uint64_t address) { return address & ~(page_size - 1); }
constexpr std::optional<std::uint64_t> page_up(std::uint64_t address) {
  const auto sum = checked_add(address, page_size - 1);
  return sum ? std::optional{page_down(*sum)} : std::nullopt;
}

/// What is to be done with guest memory, as mprotect(2) names it.
enum class Access : std::uint8_t {
  none = PROT_NONE,
  read = PROT_READ,
  write = PROT_WRITE,
  read_write = PROT_READ | PROT_WRITE
};

/// Guest memory as a host mapping, and the one gate through which a guest's addresses become host memory.
/// Guest addresses [start, end) lie at `host`; does not own the mapping. It may be read and written but where
/// `protect` took that: there the tender would fault as the guest does, so the gate is closed.
class GuestMemory {
 public:
  /// Ranges that can be protected.
  static constexpr std::size_t range_limit = 32;

  GuestMemory(std::byte* host, std::uint64_t start, std::uint64_t end) : host_{host}, start_{start}, end_{end} {}

  /// Host memory of `length` bytes from `address`; nothing when any byte is outside (also when the sum wraps) or does
  /// not allow `access`.
  [[nodiscard]] std::optional<std::span<std::byte>> window(GuestAddress address, std::uint64_t length,
                                                           Access access) const {
    const auto first = static_cast<std::uint64_t>(address);
    if (first < start_ || first > end_ || length > end_ - first) {
      return std::nullopt;
    }
    for (const Range& range : ranges()) {
      if (std::max(first, range.start) < std::min(first + length, range.end) && !allows(range.protection, access)) {
        return std::nullopt;
      }
    }
    return std::span{host_ + (first - start_), length};
  }

  /// mprotect(2) of whole pages, once for each.
  Result<> protect(GuestAddress address, std::uint64_t length, int protection);
  /// What mprotect(2) was told of the page.
  [[nodiscard]] int protection(GuestAddress address) const {
    const auto wanted = static_cast<std::uint64_t>(address);
    for (const Range& range : ranges()) {
      if (wanted >= range.start && wanted < range.end) {
        return range.protection;
      }
    }
    return PROT_READ | PROT_WRITE;
  }

  [[nodiscard]] std::uint64_t start() const { return start_; }
  /// First address behind: the size that the guest is told.
  [[nodiscard]] std::uint64_t end() const { return end_; }
  [[nodiscard]] std::byte* host() const { return host_; }

 private:
  struct Range {
    std::uint64_t start;
    std::uint64_t end;
    int protection;
  };
  static constexpr bool allows(int protection, Access access) { return (static_cast<int>(access) & ~protection) == 0; }
  [[nodiscard]] std::span<const Range> ranges() const { return {range_storage_.data(), range_count_}; }

  std::byte* host_;
  std::uint64_t start_;
  std::uint64_t end_;
  std::array<Range, range_limit> range_storage_{};
  std::size_t range_count_ = 0;
};

/// Maps guest memory, untouched until used, never executable and not part of core dumps. With `fixed` (spt) it lies
/// at its guest addresses, refused when anything is there already; else (hvt) where the host likes, start 0.
Result<GuestMemory> map_guest_memory(std::uint64_t start, std::uint64_t end, bool fixed);

}  // namespace mirage::tender
