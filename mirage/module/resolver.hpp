// SPDX-License-Identifier: ISC
// Module type Resolver: from names to addresses and what else the domain name system knows about them.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <mirage/base/address.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/module/flow.hpp>

namespace mirage {

enum class ResolveError : std::uint8_t {
  not_found,  ///< no such name
  no_data,    ///< the name exists, but has no record of this type
  bad_name,   ///< not a domain name
  failed,     ///< every server answered that it cannot tell, or with nonsense
  timed_out,  ///< no server answered
  no_server,  ///< no server is known, or none can be reached
  cancelled,
  no_memory,  ///< a bound was reached
};

[[nodiscard]] constexpr std::string_view to_string(ResolveError error) noexcept {
  switch (error) {
    case ResolveError::not_found:
      return "no such name";
    case ResolveError::no_data:
      return "no record of this type";
    case ResolveError::bad_name:
      return "not a domain name";
    case ResolveError::failed:
      return "name server failure";
    case ResolveError::timed_out:
      return "name servers do not answer";
    case ResolveError::no_server:
      return "no name server";
    case ResolveError::cancelled:
      return "cancelled";
    case ResolveError::no_memory:
      return "out of memory";
  }
  return "?";
}

inline void append_value(TextWriter& out, ResolveError error) noexcept { out.append(to_string(error)); }

/// What can be asked for; the numbers are the protocol's.
enum class RecordType : std::uint16_t { a = 1, ptr = 12, mx = 15, txt = 16, aaaa = 28, srv = 33 };

/// Names are text without the final dot ("." for the root), printable ASCII only; valid as long as the Records.
struct MailExchange {
  std::uint16_t preference = 0;
  std::string_view host;
};
struct ServiceLocation {
  std::uint16_t priority = 0;
  std::uint16_t weight = 0;
  Port port = 0;
  std::string_view host;
};

/// The records of an answer, in counted bytes of the shard's pool. MX and SRV stand in the order of preference or
/// priority, the others as the server sent them. Which accessor fits is a matter of the type that was asked for.
class Records {
 public:
  static constexpr std::size_t maximum = 64;  ///< more are left out

  Records() noexcept = default;
  /// `form`: for each record two bytes of length and its data. Addresses are 16 bytes, host names text behind the
  /// numbers in network order, TXT as on the wire. What does not have this form ends the list.
  explicit Records(Slice form) noexcept : form_(std::move(form)) {
    while (count_ < maximum && find(count_)) ++count_;
  }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

  // Precondition of the following: index < size().
  /// Of A and AAAA.
  [[nodiscard]] IpAddress address(std::size_t index) const noexcept {
    IpAddress address;
    const Bytes bytes = data(index);
    for (std::size_t i = 0; i < bytes.size() && i < 16; ++i)
      address.octets[i] = std::to_integer<std::uint8_t>(bytes[i]);
    return address;
  }
  /// Of PTR.
  [[nodiscard]] std::string_view host(std::size_t index) const noexcept { return as_text(data(index)); }
  [[nodiscard]] MailExchange mail(std::size_t index) const noexcept {
    const Bytes bytes = data(index);
    if (bytes.size() < 2) return {};
    return {load_big<std::uint16_t>(bytes, 0), as_text(bytes.subspan(2))};
  }
  [[nodiscard]] ServiceLocation service(std::size_t index) const noexcept {
    const Bytes bytes = data(index);
    if (bytes.size() < 6) return {};
    return {load_big<std::uint16_t>(bytes, 0), load_big<std::uint16_t>(bytes, 2), load_big<std::uint16_t>(bytes, 4),
            as_text(bytes.subspan(6))};
  }
  /// Calls `visit(Bytes)` for each string of a TXT record: any bytes.
  template <class Visit>
  void each_text(std::size_t index, Visit&& visit) const {
    for (Bytes left = data(index); !left.empty();) {
      const std::size_t length = std::min(std::to_integer<std::size_t>(left[0]), left.size() - 1);
      visit(left.subspan(1, length));
      left = left.subspan(1 + length);
    }
  }
  [[nodiscard]] Bytes data(std::size_t index) const noexcept { return find(index).value_or(Bytes{}); }
  [[nodiscard]] const Slice& form() const noexcept { return form_; }

 private:
  [[nodiscard]] std::optional<Bytes> find(std::size_t index) const noexcept {
    for (Bytes left = form_.bytes(); left.size() >= 2; --index) {
      const std::size_t length = load_big<std::uint16_t>(left, 0);
      if (length > left.size() - 2) return std::nullopt;
      if (index == 0) return left.subspan(2, length);
      left = left.subspan(2 + length);
    }
    return std::nullopt;
  }
  Slice form_;
  std::size_t count_ = 0;
};

/// The name whose PTR records tell the host of an address: "1.0.0.10.in-addr.arpa" (RFC 1035 3.5), ip6.arpa (RFC 3596).
class ReverseName {
 public:
  explicit ReverseName(const IpAddress& address) noexcept {
    TextWriter& out = text_.writer();
    for (std::size_t i = 16; i-- > (address.is_v4() ? 12U : 0U);) {
      const std::uint8_t octet = address.octets[i];
      if (address.is_v4()) {
        format_to(out, "{}.", octet);
        continue;
      }
      out.append_unsigned(octet & 15U, 16);
      out.append('.');
      out.append_unsigned(octet >> 4U, 16);
      out.append('.');
    }
    out.append(address.is_v4() ? std::string_view("in-addr.arpa") : std::string_view("ip6.arpa"));
  }
  [[nodiscard]] std::string_view view() const noexcept { return text_.view(); }

 private:
  Text<80> text_;
};

/// lookup(): every record of this type that the name has, aliases followed; at least one. An address in text form is
/// its own answer, "localhost" is the loopback address. `name` must stay valid until it completes. Any number of
/// lookups may run side by side, up to a bound.
template <class R>
concept Resolver = requires(R& resolver, std::string_view name, RecordType type) {
  { resolver.lookup(name, type) } -> AwaitableOf<Result<Records, ResolveError>>;
  { resolver.shard() } noexcept -> std::same_as<Shard&>;
};

}  // namespace mirage
