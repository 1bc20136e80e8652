// SPDX-License-Identifier: ISC
// TCP Fast Open, RFC 7413: text in the SYN for a server that knows the client's address by a cookie. Here are the
// option, the server's cookies and the client's cache; read section 4 before editing. The TCB's part is `FastOpen`, the
// shell's in open.cpp.
//
// Not here: the experimental option (kind 254).
#pragma once

#include <array>
#include <cstdint>

#include <mirage/base/address.hpp>
#include <mirage/base/bytes.hpp>
#include <mirage/base/random.hpp>
#include <mirage/base/time.hpp>

namespace mirage::net::tcp {

/// Section 4.1.1.
struct FastOpenCookie {
  static constexpr std::uint8_t smallest = 4, largest = 16;
  std::array<std::uint8_t, 16> bytes{};
  std::uint8_t size = 0;  ///< 0: asks for one
  constexpr bool operator==(const FastOpenCookie&) const = default;
};

/// The option in a SYN, if it is there and well-formed.
struct FastOpenOption {
  FastOpenCookie cookie;
  bool present = false;
};

[[nodiscard]] FastOpenOption read_fast_open(Bytes options) noexcept;
/// Bytes that write_fast_open() writes: a multiple of 4.
[[nodiscard]] constexpr std::uint32_t fast_open_size(const FastOpenOption& option) noexcept {
  return option.present ? (2U + option.cookie.size + 3U) / 4 * 4 : 0;
}
/// Precondition: out.size() == fast_open_size(option).
void write_fast_open(const FastOpenOption& option, MutableBytes out) noexcept;

/// A cookie is good for as long at least, and twice as long at most (section 4.1.2: servers change their key).
inline constexpr Duration fast_open_lifetime = 2h;

[[nodiscard]] FastOpenCookie make_fast_open_cookie(const SipKey& key, const IpAddress& local, const IpAddress& remote,
                                                   Time now) noexcept;
[[nodiscard]] bool is_fast_open_cookie(const FastOpenCookie& cookie, const SipKey& key, const IpAddress& local,
                                       const IpAddress& remote, Time now) noexcept;

/// What a client knows of servers, sections 4.1.3 and 4.1.3.1. Bounded: the one that was not used for longest goes.
class FastOpenCache {
 public:
  static constexpr std::size_t capacity = 32;
  /// A SYN with the option that got no answer: not again for so long (section 4.1.3.1).
  static constexpr Duration pause = 1h;

  struct Entry {
    IpAddress address;
    FastOpenCookie cookie;           ///< size 0: none yet
    std::uint16_t segment_size = 0;  ///< the server's MSS
    Time pause_until{};
    Time used{};
  };
  /// Null when nothing is known.
  [[nodiscard]] Entry* find(const IpAddress& server) noexcept;
  /// The entry, made if need be.
  [[nodiscard]] Entry& of(const IpAddress& server, Time now) noexcept;

 private:
  std::array<Entry, capacity> entries_{};
};

}  // namespace mirage::net::tcp
