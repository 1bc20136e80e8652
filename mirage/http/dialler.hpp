// SPDX-License-Identifier: ISC
// Where a client's connections come from: by address, which is what a proxy has, or by the name in a URL.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <mirage/http/exchange.hpp>
#include <mirage/module/connector.hpp>

namespace mirage::http {

/// What a request says when there is no connection for it.
[[nodiscard]] constexpr ClientError client_error(FlowError error) noexcept {
  return error == FlowError::cancelled   ? ClientError::cancelled
         : error == FlowError::no_memory ? ClientError::no_memory
                                         : ClientError::not_connected;
}
[[nodiscard]] ClientError client_error(const ConnectError& error) noexcept;

/// What a pool opens connections with, and what it tells servers apart by. `origin` stays valid until connect()
/// completes.
template <class D>
concept Dialler = Flow<typename D::Flow> && std::equality_comparable<typename D::Origin> &&
                  requires(D& dialler, const typename D::Origin& origin) {
                    { dialler.connect(origin) } -> std::same_as<Task<Result<typename D::Flow, typename D::Error>>>;
                    { client_error(std::declval<typename D::Error>()) } -> std::same_as<ClientError>;
                  };

template <Tcp T>
class AddressDialler {
 public:
  using Flow = typename T::Flow;
  using Origin = Endpoint;
  using Error = FlowError;
  AddressDialler(Shard& shard, T& tcp) noexcept : shard_(shard), tcp_(tcp) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  Task<Result<Flow, FlowError>> connect(const Endpoint& origin) { co_return co_await tcp_.connect(origin); }

 private:
  Shard& shard_;
  T& tcp_;
};

/// A name or an address in text form, and a port.
class HostPort {
 public:
  static constexpr std::size_t maximum = 253;  ///< of a name in text form (RFC 1035 2.3.4)
  /// Nothing for a name that is too long.
  [[nodiscard]] static std::optional<HostPort> of(std::string_view host, Port port) noexcept;
  [[nodiscard]] std::string_view host() const noexcept { return {text_.data(), size_}; }
  [[nodiscard]] Port port() const noexcept { return port_; }
  /// Case does not matter (RFC 3986 3.2.2).
  [[nodiscard]] bool operator==(const HostPort& other) const noexcept;

 private:
  std::array<char, maximum> text_;  // NOLINT: only what is in use counts
  std::uint8_t size_ = 0;
  Port port_ = 0;
};

template <Connector C>
class NameDialler {
 public:
  using Flow = typename C::Flow;
  using Origin = HostPort;
  using Error = ConnectError;
  NameDialler(Shard& shard, C& connector) noexcept : shard_(shard), connector_(connector) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  Task<Result<Flow, ConnectError>> connect(const HostPort& origin) {
    co_return co_await connector_.connect(origin.host(), origin.port());
  }

 private:
  Shard& shard_;
  C& connector_;
};

}  // namespace mirage::http
