// SPDX-License-Identifier: ISC
// Which of a host's addresses is tried first: the rules of RFC 6724 section 6. Deliberately without rules 4 and 7:
// there are neither home addresses nor tunnels that a stack would know of.
#pragma once

#include <optional>

#include <mirage/base/address_policy.hpp>
#include <mirage/module/stack.hpp>

namespace mirage::dns {

/// An address with what a flow to it would start from.
struct Destination {
  IpAddress address;
  std::optional<SourceAddress> source;  ///< nothing: no way there, or the stack does not tell

  [[nodiscard]] constexpr bool same_scope() const noexcept {
    return scope_of(source->prefix.address) == scope_of(address);
  }
  [[nodiscard]] constexpr bool same_label() const noexcept {
    return policy_of(source->prefix.address).label == policy_of(address).label;
  }
  /// Rule 9's bits. Two IPv4 addresses are near each other only in one subnet: elsewhere their bits say nothing, and to
  /// sort by them would undo what the name server did to share the load (section 6 lets us).
  [[nodiscard]] constexpr unsigned shared_bits() const noexcept {
    const unsigned bits = common_prefix(source->prefix, address);
    return address.is_v4() && bits < source->prefix.length ? 0 : bits;
  }
};

namespace detail {

/// Rules 2, 3, and 5. Precondition: both have a source.
[[nodiscard]] constexpr std::optional<bool> goes_before_by_source(const Destination& a, const Destination& b) noexcept {
  if (a.same_scope() != b.same_scope()) return a.same_scope();                    // rule 2
  if (a.source->deprecated != b.source->deprecated) return b.source->deprecated;  // rule 3
  if (a.same_label() != b.same_label()) return a.same_label();                    // rule 5
  return std::nullopt;
}

}  // namespace detail

/// True when `a` is to be tried before `b`; false for both when they are equal: their order stays (rule 10).
[[nodiscard]] constexpr bool goes_before(const Destination& a, const Destination& b) noexcept {
  if (a.source.has_value() != b.source.has_value()) return a.source.has_value();  // rule 1
  const bool known = a.source.has_value();
  if (known) {
    if (const auto decided = detail::goes_before_by_source(a, b)) return *decided;
  }
  const unsigned precedence_a = policy_of(a.address).precedence;
  const unsigned precedence_b = policy_of(b.address).precedence;
  if (precedence_a != precedence_b) return precedence_a > precedence_b;  // rule 6
  const unsigned scope_a = scope_of(a.address);
  const unsigned scope_b = scope_of(b.address);
  if (scope_a != scope_b) return scope_a < scope_b;  // rule 8
  if (!known || a.address.is_v4() != b.address.is_v4()) return false;
  return a.shared_bits() > b.shared_bits();  // rule 9
}

}  // namespace mirage::dns
