// SPDX-License-Identifier: ISC
// Filter rules: the first that matches a flow's opening packet decides about the flow.
//
//   rule    = action *( " " term )
//   action  = "accept" / "drop" / "reject"
//   term    = "tcp" / "udp" / "icmp" / "inbound" / "outbound" / "from" " " prefix / "to" " " prefix / "port" " " ports
//   ports   = number [ "-" number ]          (of the destination)
//   rules   = rule *( ";" rule )
//
// for example "reject outbound tcp port 25; drop from 10.1.0.66/32". Without a match what opens from inside is accepted
// and what opens from outside needs a port forward, which is then accepted.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/result.hpp>
#include <mirage/net/forward/tuple.hpp>

namespace mirage::net::forward {

enum class Side : std::uint8_t { inside, outside };

struct Rule {
  enum class Action : std::uint8_t { accept, drop, reject };
  Action action = Action::accept;
  std::uint8_t protocol = 0;   ///< 0: any
  std::optional<Side> opener;  ///< none: either
  Ipv4Prefix from{};           ///< 0.0.0.0/0: any
  Ipv4Prefix to{};
  Port first_port = 0;
  Port last_port = 65535;
  constexpr bool operator==(const Rule&) const = default;

  /// `tuple` has inside hosts' own addresses and ports, not the translated ones.
  [[nodiscard]] constexpr bool matches(const Tuple& tuple, Side side) const noexcept {
    return (protocol == 0 || protocol == tuple.protocol) && opener.value_or(side) == side &&
           from.contains(tuple.source) && to.contains(tuple.destination) && first_port <= tuple.destination_port &&
           tuple.destination_port <= last_port;
  }
};

/// Where a rule's text is wrong: the word that was not understood, or an empty one at a rule's end.
struct RuleError {
  std::string_view word;
  bool too_many = false;  ///< more rules than `RuleList::capacity`
};

class RuleList {
 public:
  static constexpr std::size_t capacity = 64;
  [[nodiscard]] static Result<RuleList, RuleError> parse(std::string_view text) noexcept;
  [[nodiscard]] bool add(const Rule& rule) noexcept;
  /// The action of the first rule that matches, or accept.
  [[nodiscard]] Rule::Action decide(const Tuple& tuple, Side opener) const noexcept;
  [[nodiscard]] std::span<const Rule> rules() const noexcept { return std::span(rules_).first(count_); }

 private:
  std::array<Rule, capacity> rules_{};
  std::size_t count_ = 0;
};

/// A port forward, "tcp:8080=10.1.0.2:80": what arrives for the external port goes to an inside endpoint.
struct PortForward {
  std::uint8_t protocol = 0;
  Port external_port = 0;
  Ipv4Address inside{};
  Port inside_port = 0;
  constexpr bool operator==(const PortForward&) const = default;
  [[nodiscard]] static std::optional<PortForward> parse(std::string_view text) noexcept;
};

}  // namespace mirage::net::forward
