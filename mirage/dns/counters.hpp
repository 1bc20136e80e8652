// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>

namespace mirage::dns {

struct Counters {
  std::uint64_t lookups = 0;
  std::uint64_t cache_hits = 0;     ///< negative ones included
  std::uint64_t joined = 0;         ///< waited for the same question of another lookup
  std::uint64_t queries_udp = 0;    ///< sent
  std::uint64_t queries_tcp = 0;    ///< begun
  std::uint64_t answers = 0;        ///< replies that were to the question and well formed
  std::uint64_t timeouts = 0;       ///< of one server
  std::uint64_t truncated = 0;      ///< asked again by TCP
  std::uint64_t case_changed = 0;   ///< the same, since the reply did not keep the question's letters
  std::uint64_t suspicious = 0;     ///< the same, since many replies did not match
  std::uint64_t edns_refused = 0;   ///< asked again without EDNS
  std::uint64_t server_errors = 0;  ///< SERVFAIL, REFUSED, referrals and the like
  std::uint64_t drop_source = 0;    ///< datagram from elsewhere than the server, or to another address of ours
  std::uint64_t drop_mismatch = 0;  ///< other id or question, or no reply at all
  std::uint64_t drop_malformed = 0;
  std::uint64_t drop_late = 0;      ///< after the first answer
  std::uint64_t refused = 0;        ///< lookups at the bound
  std::uint64_t cache_evicted = 0;  ///< before their time
};

}  // namespace mirage::dns
