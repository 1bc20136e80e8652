// SPDX-License-Identifier: ISC
// What a reply means for the question: records, an alias to ask about next, or why there is nothing.
#pragma once

#include <cstdint>

#include <mirage/base/buffer.hpp>
#include <mirage/base/time.hpp>
#include <mirage/module/resolver.hpp>
#include <mirage/wire/dns.hpp>

namespace mirage::dns {

struct Answer {
  enum class Kind : std::uint8_t { records, alias, failure };
  Kind kind = Kind::failure;
  ResolveError error = ResolveError::failed;
  Slice records;        ///< in the form of mirage::Records
  wire::DnsName alias;  ///< the server did not say what it leads to
  Duration ttl{};       ///< 0: not to be cached

  [[nodiscard]] static Answer failure(ResolveError error, Duration ttl = {}) noexcept {
    Answer answer;
    answer.error = error;
    answer.ttl = ttl;
    return answer;
  }
  static Answer no_memory() noexcept { return failure(ResolveError::no_memory); }  ///< what an empty task yields
};

inline constexpr unsigned maximum_aliases = 8;    ///< links of a chain of CNAMEs that are followed
inline constexpr Duration maximum_ttl = 24h;      ///< RFC 2181 8 lets a cache set a bound
inline constexpr Duration maximum_negative = 3h;  ///< RFC 2308 5
inline constexpr Duration failure_ttl = 5s;       ///< RFC 9520 3.2: failures are remembered too

/// Reads a reply whose head matches `question`. Only records of the question's name, or of what its aliases lead to,
/// count.
[[nodiscard]] Answer interpret(const wire::DnsView& view, const wire::DnsQuestion& question, BufferPool& pool) noexcept;

}  // namespace mirage::dns
