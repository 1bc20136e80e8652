// SPDX-License-Identifier: ISC
// The multicast groups that we listen to, of both IP versions, for each interface, and what routers have yet to hear
// about them. Membership is counted: a group that its last member has left stays until that is reported. Every host is
// in all-hosts and all-nodes (RFC 1112 4, RFC 4291 2.8); these are not here.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include <mirage/base/address.hpp>

namespace mirage::net::ip {

struct Group {
  IpAddress address;
  std::uint16_t interface = 0;
  std::uint16_t members = 0;  ///< 0: left
  std::uint8_t reports = 0;   ///< that are still to be sent about the last change
  constexpr bool operator==(const Group&) const = default;
};

class GroupTable {
 public:
  static constexpr std::size_t capacity = 32;
  static constexpr std::uint8_t robustness = 2;  ///< how often a change is reported (RFC 3810 9.1, RFC 3376 8.1)

  /// False when the table is full.
  [[nodiscard]] constexpr bool join(const IpAddress& address, std::uint16_t interface) noexcept {
    Group* group = find(address, interface);
    if (group == nullptr) {
      if (count_ == capacity) return false;
      group = &groups_[count_++];
      *group = {.address = address, .interface = interface};
    }
    if (group->members++ == 0) change(*group);
    return true;
  }
  /// Leaving what was not joined does nothing.
  constexpr void leave(const IpAddress& address, std::uint16_t interface) noexcept {
    Group* group = find(address, interface);
    if (group == nullptr || group->members == 0) return;
    if (--group->members == 0) change(*group);
  }
  [[nodiscard]] constexpr bool contains(const IpAddress& address, std::uint16_t interface) const noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      const Group& group = groups_[i];
      if (group.address == address && group.interface == interface) return group.members > 0;
    }
    return false;
  }
  /// Something else has changed that is to be reported.
  constexpr void touch() noexcept { changed_ = true; }
  /// True once after members came or went.
  [[nodiscard]] constexpr bool take_change() noexcept { return std::exchange(changed_, false); }
  /// One report of the interface's changes has been sent; true when another one is to follow. Forgets what was left.
  constexpr bool reported(std::uint16_t interface) noexcept {
    bool more = false;
    for (std::size_t i = 0; i < count_;) {
      Group& group = groups_[i];
      if (group.interface == interface && group.reports > 0) more = --group.reports > 0 || more;
      if (group.members == 0 && group.reports == 0) {
        group = groups_[--count_];
      } else {
        ++i;
      }
    }
    return more;
  }
  [[nodiscard]] constexpr const Group* begin() const noexcept { return groups_.data(); }
  [[nodiscard]] constexpr const Group* end() const noexcept { return groups_.data() + count_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }

 private:
  [[nodiscard]] constexpr Group* find(const IpAddress& address, std::uint16_t interface) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (groups_[i].address == address && groups_[i].interface == interface) return &groups_[i];
    }
    return nullptr;
  }
  constexpr void change(Group& group) noexcept {
    group.reports = robustness;
    changed_ = true;
  }
  std::array<Group, capacity> groups_{};
  std::size_t count_ = 0;
  bool changed_ = false;
};

}  // namespace mirage::net::ip
