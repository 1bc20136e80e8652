// SPDX-License-Identifier: ISC
// The servers behind a proxy: which there are, which of them answer, and which is next.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/base/text.hpp>

namespace mirage::http {

struct BackendCounters {
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;  ///< requests and checks, whatever it was that failed
};

struct Backend : BackendCounters {
  Endpoint endpoint;
  std::string_view authority;  ///< as in the specification: what Host says to it
  std::string_view prefix;     ///< of the paths that it serves; empty: all
  bool up = true;              ///< until checks or requests say otherwise
  std::uint8_t streak = 0;     ///< checks in a row that contradict `up`
  std::uint8_t refusals = 0;   ///< requests in a row that it took no connection for
  std::uint32_t active = 0;    ///< requests at work
};

enum class Balance : std::uint8_t { round_robin, least_active };

/// How often a check must fail or succeed in a row before it is believed; `fall` also: how often requests must be
/// refused a connection. What becomes of a request on a connection may be the request's doing.
struct HealthThresholds {
  std::uint8_t fall = 2;
  std::uint8_t rise = 2;
};

class Backends {
 public:
  static constexpr std::size_t maximum = 32;

  /// Takes "10.0.0.2:80,10.0.0.3:8080" or, by path, "/api=10.0.0.2:80,/=10.0.0.3:80"; IPv6 addresses in brackets. Views
  /// into `text` are kept. False, and nothing changed, when it is malformed, empty or names too many.
  [[nodiscard]] bool parse(std::string_view text) noexcept;
  [[nodiscard]] std::span<Backend> all() noexcept { return {backends_.data(), count_}; }
  /// Each backend in the order of the specification.
  void visit_counters(CounterVisitor& visitor) const noexcept;
  /// One that is up, among those with the longest prefix of `path`; nullptr when there is none. `tried` is left out.
  [[nodiscard]] Backend* pick(std::string_view path, Balance balance, const Backend* tried = nullptr) noexcept;
  /// Whether any backend, up or not, serves this path.
  [[nodiscard]] bool serves(std::string_view path) noexcept;

 private:
  std::array<Backend, maximum> backends_{};
  std::size_t count_ = 0;
  std::size_t next_ = 0;
};

/// Takes the outcome of a check; true when `up` changed.
[[nodiscard]] bool note_check(Backend& backend, bool good, const HealthThresholds& thresholds) noexcept;
/// Takes note of a request that there was no connection for; true when `up` changed.
[[nodiscard]] bool note_refusal(Backend& backend, const HealthThresholds& thresholds) noexcept;

/// "10.0.0.2:80", "[2001:db8::1]:80".
[[nodiscard]] std::optional<Endpoint> parse_endpoint(std::string_view text) noexcept;

}  // namespace mirage::http
