// SPDX-License-Identifier: ISC
// Module type Connector: connections to hosts by name, whatever finds out where they are.
#pragma once

#include <optional>
#include <string_view>

#include <mirage/module/resolver.hpp>
#include <mirage/module/stack.hpp>

namespace mirage {

/// Why there is no connection: what the last attempt met, or why there was nothing to attempt.
struct ConnectError {
  std::optional<ResolveError> name;
  FlowError flow = FlowError::unreachable;
  constexpr ConnectError(FlowError error) noexcept : flow(error) {}     // NOLINT: both implicit on purpose
  constexpr ConnectError(ResolveError error) noexcept : name(error) {}  // NOLINT
  static constexpr FlowError no_memory = FlowError::no_memory;
  [[nodiscard]] constexpr std::string_view text() const noexcept { return name ? to_string(*name) : to_string(flow); }
};

inline void append_value(TextWriter& out, const ConnectError& error) noexcept { out.append(error.text()); }

/// connect(host, port): to a name or an address in text form, which must stay valid until it completes. It may take
/// long: bound it with within().
template <class C>
concept Connector = Flow<typename C::Flow> && requires(C& connector, std::string_view host, Port port) {
  { connector.connect(host, port) } -> AwaitableOf<Result<typename C::Flow, ConnectError>>;
  { connector.shard() } noexcept -> std::same_as<Shard&>;
};

/// Knows no names, only addresses.
template <Tcp T>
class AddressConnector {
 public:
  using Flow = typename T::Flow;
  AddressConnector(Shard& shard, T& tcp) noexcept : shard_(shard), tcp_(tcp) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  Task<Result<Flow, ConnectError>> connect(std::string_view host, Port port) {
    const auto address = IpAddress::parse(host);
    if (!address) co_return Failure{ConnectError{ResolveError::not_found}};
    auto flow = co_await tcp_.connect(Endpoint{*address, port, 0});
    if (!flow) co_return Failure{ConnectError{flow.error()}};
    co_return std::move(*flow);
  }

 private:
  Shard& shard_;
  T& tcp_;
};

}  // namespace mirage
