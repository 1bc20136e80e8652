// SPDX-License-Identifier: ISC
// Module type Stack: TCP and UDP over IP, whatever is below (our own stack on a Net, or host sockets).
#pragma once

#include <optional>

#include <mirage/module/flow.hpp>
#include <mirage/module/start.hpp>
#include <mirage/module/udp.hpp>

namespace mirage {

enum class ListenError : std::uint8_t { port_in_use, no_memory, denied };

[[nodiscard]] constexpr std::string_view to_string(ListenError error) noexcept {
  switch (error) {
    case ListenError::port_in_use:
      return "port in use";
    case ListenError::no_memory:
      return "out of memory";
    case ListenError::denied:
      return "permission denied";
  }
  return "?";
}

inline void append_value(TextWriter& out, ListenError error) noexcept { out.append(to_string(error)); }

struct ListenOptions {
  /// Connections not yet accepted by the application; more are not answered, and counted. Beside them as many may be
  /// half-open; beyond, a stack that can answers without keeping anything (SYN cookies).
  std::uint16_t backlog = 128;
  /// One of our addresses, or one that will be; unspecified: all, on every interface. Who listens on the address goes
  /// before who listens on all.
  IpAddress address{};
};

/// accept() yields the next established connection; an error when the listener was closed or the task cancelled.
template <class L, class F>
concept ListenerOf = std::movable<L> && requires(L& listener) {
  { listener.accept() } -> AwaitableOf<Result<F, FlowError>>;
  { listener.port() } noexcept -> std::convertible_to<Port>;
  { listener.close() } noexcept;
};

template <class T>
concept Tcp = TunableFlow<typename T::Flow> && ListenerOf<typename T::Listener, typename T::Flow> &&
              requires(T& tcp, Port port, Endpoint remote, const ListenOptions& options) {
                { tcp.listen(port, options) } noexcept -> std::same_as<Result<typename T::Listener, ListenError>>;
                { tcp.connect(remote) } -> AwaitableOf<Result<typename T::Flow, FlowError>>;
              };

template <class S>
concept Stack = Tcp<typename S::Tcp> && Udp<typename S::Udp> && requires(S& stack) {
  { stack.tcp() } noexcept -> std::same_as<typename S::Tcp&>;
  { stack.udp() } noexcept -> std::same_as<typename S::Udp&>;
  { stack.address() } noexcept -> std::same_as<IpAddress>;  ///< unspecified until configured
  { stack.shard() } noexcept -> std::same_as<Shard&>;
};

/// What a flow to some destination would start from.
struct SourceAddress {
  IpPrefix prefix;          ///< the address with its network's length
  bool deprecated = false;  ///< RFC 4862 5.5.4
  constexpr bool operator==(const SourceAddress&) const = default;
};

/// A stack that tells the source it would choose, so that the best of several destinations can be found (RFC 6724 6).
/// Nothing: there is no way there now.
template <class S>
concept TellsSource = Stack<S> && requires(S& stack, const Endpoint& remote) {
  { stack.source_for(remote) } noexcept -> std::same_as<std::optional<SourceAddress>>;
};

}  // namespace mirage
