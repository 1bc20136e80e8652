// SPDX-License-Identifier: ISC
// Conformance check of the module type Resolver, for the tests of every implementation.
#pragma once

#include <array>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/resolver.hpp>

namespace mirage::check {

/// What the servers behind the resolver under test must know: `present` has one address (and no MX), `absent` does not
/// exist, and `silent` is never answered.
struct ResolverZone {
  std::string_view present;
  IpAddress address;
  std::string_view absent;
  std::string_view silent;
};

namespace detail {

template <Resolver R>
Task<void> look_up(Shard&, R& resolver, std::string_view name, Result<Records, ResolveError>& result) {
  result = co_await resolver.lookup(name, RecordType::a);
}

template <Resolver R>
Task<bool> fails_with(Shard&, R& resolver, std::string_view name, RecordType type, ResolveError error) {
  const auto result = co_await resolver.lookup(name, type);
  co_return !result && result.error() == error;
}

/// What needs no server.
template <Resolver R>
Task<std::string_view> check_local_names(Shard& shard, R& resolver) {
  const auto literal = co_await resolver.lookup("192.0.2.7", RecordType::a);
  if (!literal || literal->size() != 1 || literal->address(0) != IpAddress{Ipv4Address::of(192, 0, 2, 7)}) {
    co_return "an address is not its own answer";
  }
  const auto local = co_await resolver.lookup("localhost", RecordType::a);
  if (!local || local->empty() || !local->address(0).is_v4() || !local->address(0).v4().is_loopback()) {
    co_return "localhost is not the loopback address";
  }
  static constexpr std::string_view long_label =
      "a123456789012345678901234567890123456789012345678901234567890123.example";
  for (const std::string_view bad : {std::string_view(""), std::string_view("a..example"), std::string_view(".example"),
                                     std::string_view("a b.example"), long_label}) {
    if (!co_await fails_with(shard, resolver, bad, RecordType::a, ResolveError::bad_name))
      co_return "a bad name passed";
  }
  co_return "";
}

/// A lookup that is given up, and one whose scope is cancelled before it begins.
template <Resolver R>
Task<std::string_view> check_cancellation(Shard& shard, R& resolver, std::string_view silent) {
  Result<Records, ResolveError> waiting = Failure{ResolveError::failed};
  Scope scope{shard};
  if (!scope.spawn(look_up(shard, resolver, silent, waiting))) co_return "no memory";
  co_await sleep(1ms);
  scope.cancel();
  co_await scope.join();
  if (waiting || waiting.error() != ResolveError::cancelled) co_return "a lookup was not cancelled";
  co_return "";
}

/// The same question from many sides at once.
template <Resolver R>
Task<std::string_view> check_crowd(Shard& shard, R& resolver, const ResolverZone& zone) {
  std::array<Result<Records, ResolveError>, 16> results;
  results.fill(Failure{ResolveError::failed});
  Scope scope{shard};
  for (auto& result : results) {
    if (!scope.spawn(look_up(shard, resolver, zone.present, result))) co_return "no memory";
  }
  co_await scope.join();
  for (const auto& result : results) {
    if (!result || result->empty() || result->address(0) != zone.address) co_return "one of many lookups failed";
  }
  co_return "";
}

}  // namespace detail

/// Empty when the resolver conforms, else the first rule that is broken. It must be started.
template <Resolver R>
Task<std::string_view> check_resolver(Shard& shard, R& resolver, ResolverZone zone) {
  if (const auto broken = co_await detail::check_local_names(shard, resolver); !broken.empty()) co_return broken;
  if (const auto broken = co_await detail::check_crowd(shard, resolver, zone); !broken.empty()) co_return broken;
  const auto present = co_await resolver.lookup(zone.present, RecordType::a);
  if (!present || present->size() != 1 || present->address(0) != zone.address) co_return "a name was not found";
  if (!co_await detail::fails_with(shard, resolver, zone.present, RecordType::mx, ResolveError::no_data)) {
    co_return "a name without such a record does not yield no_data";
  }
  if (!co_await detail::fails_with(shard, resolver, zone.absent, RecordType::a, ResolveError::not_found)) {
    co_return "a name that does not exist does not yield not_found";
  }
  co_return co_await detail::check_cancellation(shard, resolver, zone.silent);
}

}  // namespace mirage::check
