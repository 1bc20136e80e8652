// SPDX-License-Identifier: ISC
// URLs of the scheme http (RFC 9110 section 4.2.1), and references relative to them (RFC 3986 section 5.2).
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/base/text.hpp>

namespace mirage::http {

/// A URL in memory of its own.
class Url {
 public:
  static constexpr std::size_t maximum = 2048;

  /// Takes an absolute "http://host:port/path?query"; a fragment is dropped. Nothing when it is malformed, has userinfo
  /// (section 4.2.4), is of another scheme or too long.
  [[nodiscard]] static std::optional<Url> parse(std::string_view text) noexcept;
  /// The URL that `reference` means when it is found in this one: a redirect's Location.
  [[nodiscard]] std::optional<Url> resolve(std::string_view reference) const noexcept;

  /// "host:port", without the port when it is 80: what Host says.
  [[nodiscard]] std::string_view authority() const noexcept { return view().substr(0, authority_size_); }
  /// Name or address; an IPv6 address without its brackets.
  [[nodiscard]] std::string_view host() const noexcept { return view().substr(host_at_, host_size_); }
  [[nodiscard]] Port port() const noexcept { return port_; }
  /// Path and query: the request's target.
  [[nodiscard]] std::string_view target() const noexcept { return view().substr(authority_size_); }
  [[nodiscard]] bool same_origin(const Url& other) const noexcept;

 private:
  Url() noexcept = default;
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }
  [[nodiscard]] bool set_authority(std::string_view authority) noexcept;
  /// Appends path and query with "." and ".." segments removed (RFC 3986 section 5.2.4).
  [[nodiscard]] bool set_target(std::string_view target) noexcept;
  [[nodiscard]] bool append(std::string_view text) noexcept;

  std::array<char, maximum> text_;  // NOLINT: authority and target; only the first size_ bytes count
  std::size_t size_ = 0;
  std::size_t authority_size_ = 0;
  std::size_t host_at_ = 0;
  std::size_t host_size_ = 0;
  Port port_ = 80;
};

}  // namespace mirage::http
