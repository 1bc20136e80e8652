// SPDX-License-Identifier: ISC
// The addresses that are ours, of both IP versions and on all interfaces, with the life of those that autoconfiguration
// makes (RFC 4862 5.5) and of duplicate address detection (RFC 4862 5.4, optimistic: RFC 4429). Plain values.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include <mirage/base/address.hpp>
#include <mirage/base/time.hpp>

namespace mirage::net::ip {

struct Address {
  /// Fresh: not asked for yet. Optimistic: asked, in use, not sure yet. RFC 4429 2.
  enum class Phase : std::uint8_t { fresh, optimistic, confirmed };
  enum class Origin : std::uint8_t { manual, leased, link_local, advertised };
  IpPrefix prefix;  ///< the address with its network's length
  std::uint16_t interface = 0;
  Origin origin = Origin::manual;
  Phase phase = Phase::confirmed;
  std::uint8_t attempt = 0;  ///< which interface identifier was tried (RFC 7217 6)
  Time confirmed_at = never;
  Time preferred_until = never;  ///< then deprecated: not for new flows (RFC 4862 5.5.4)
  Time valid_until = never;
  constexpr bool operator==(const Address&) const = default;

  [[nodiscard]] constexpr const IpAddress& address() const noexcept { return prefix.address; }
  [[nodiscard]] constexpr bool is_deprecated(Time now) const noexcept { return preferred_until <= now; }
};

class AddressTable {
 public:
  static constexpr std::size_t capacity = 24;

  /// Null when the table is full. An address that is there already on the interface is replaced in place. Pointers are
  /// valid until the table changes.
  constexpr Address* add(const Address& address) noexcept {
    Address* known = find(address.address(), address.interface);
    if (known == nullptr) {
      if (count_ == capacity) return nullptr;
      known = &addresses_[count_++];
    }
    *known = address;
    return known;
  }
  /// Removes what `condition(address)` names; returns how many.
  template <class F>
  constexpr std::size_t remove_if(F&& condition) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (condition(std::as_const(addresses_[i]))) continue;
      if (kept != i) addresses_[kept] = addresses_[i];
      ++kept;
    }
    return std::exchange(count_, kept) - kept;
  }
  [[nodiscard]] constexpr Address* find(const IpAddress& address, std::uint16_t interface) noexcept {
    for (Address& own : *this) {
      if (own.address() == address && own.interface == interface) return &own;
    }
    return nullptr;
  }
  /// On any interface.
  [[nodiscard]] constexpr const Address* find(const IpAddress& address) const noexcept {
    for (const Address& own : *this) {
      if (own.address() == address) return &own;
    }
    return nullptr;
  }
  [[nodiscard]] constexpr Address* begin() noexcept { return addresses_.data(); }
  [[nodiscard]] constexpr Address* end() noexcept { return addresses_.data() + count_; }
  [[nodiscard]] constexpr const Address* begin() const noexcept { return addresses_.data(); }
  [[nodiscard]] constexpr const Address* end() const noexcept { return addresses_.data() + count_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }

  /// When an address is confirmed, or its time is over.
  [[nodiscard]] constexpr Time next_deadline() const noexcept {
    Time next = never;
    for (const Address& own : *this) {
      if (own.phase == Address::Phase::optimistic && own.confirmed_at < next) next = own.confirmed_at;
      if (own.valid_until < next) next = own.valid_until;
    }
    return next;
  }

 private:
  std::array<Address, capacity> addresses_{};
  std::size_t count_ = 0;
};

}  // namespace mirage::net::ip
