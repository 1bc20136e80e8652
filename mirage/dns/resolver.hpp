// SPDX-License-Identifier: ISC
// A stub resolver: asks recursive name servers and keeps what they say for as long as they say. Read RFC 1034 5.3.1,
// RFC 1035 4 and 7, RFC 2181, RFC 2308 (negative answers), RFC 5452 (forged answers), RFC 6891 (EDNS), RFC 7766 (TCP)
// before editing. Deliberately not here: recursion, DNSSEC validation, mDNS, queries over TLS or HTTPS.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/async/task.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/dns/cache.hpp>
#include <mirage/dns/counters.hpp>
#include <mirage/dns/servers.hpp>
#include <mirage/dns/transport.hpp>
#include <mirage/module/start.hpp>

namespace mirage::dns {

/// How a resolver is set up; the run-time keys of the module "resolver" fill it. Texts must outlive it.
struct ResolverOptions {
  std::string_view name_servers{};  ///< ADDRESS[:PORT], separated by commas; empty: those that the network tells
  std::string_view search{};        ///< domains, separated by commas; empty: those that the network tells
  Duration timeout = 1s;            ///< for one server's answer in the first round; doubled in each one that follows
  unsigned rounds = 3;              ///< how often each server is asked
  Duration tcp_timeout = 5s;        ///< for an exchange over TCP
};

class Resolver {
 public:
  static constexpr std::size_t maximum_pending = 64;  ///< different questions at once
  static constexpr std::uint16_t udp_size = 1232;     ///< asked for by EDNS: never fragmented (RFC 9715 3.2)

  /// The stack must outlive it. Precondition of destruction: no lookup is running.
  template <mirage::Stack S>
  Resolver(Shard& shard, S& stack, const ResolverOptions& options) noexcept
      : Resolver(shard, Transport{stack}, options) {}
  Resolver(Shard& shard, const Transport& transport, const ResolverOptions& options) noexcept
      : shard_(shard), transport_(transport), options_(options) {}
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Checks the options and draws secrets.
  [[nodiscard]] Task<Result<void, StartError>> start();

  // module type Resolver
  [[nodiscard]] Task<Result<Records, ResolveError>> lookup(std::string_view name, RecordType type);
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  /// Those that would be asked now.
  [[nodiscard]] ServerList servers() const noexcept;
  void clear_cache() noexcept { cache_.clear(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] const Cache& cache() const noexcept { return cache_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("dns", counters_of(counters_));
    visitor.gauge("dns", "cache_entries", cache_.size());
  }

 private:
  /// A lookup that waits for another's answer.
  struct Joined : ListNode<> {
    std::optional<Answer> answer;
  };
  /// A question that is being asked: others who want to know the same wait for it, so that nobody gets several guesses
  /// at one answer (RFC 5452 5).
  struct Pending : ListNode<> {
    Pending(Resolver& resolver, const wire::DnsQuestion& asked) noexcept : owner(resolver), question(asked) {
      owner.pending_.push_back(*this);
      ++owner.pending_count_;
    }
    ~Pending() {
      --owner.pending_count_;
      waiting.notify_all();
    }
    /// The answer is theirs as well, also one that is not kept (RFC 1035 3.2.1): they asked before it came.
    void tell(const Answer& answer) noexcept {
      const bool own = answer.error == ResolveError::cancelled || answer.error == ResolveError::no_memory;
      if (answer.kind == Answer::Kind::failure && own) return;
      while (Joined* each = joined.pop_front()) each->answer = answer;
    }
    Resolver& owner;
    const wire::DnsQuestion& question;
    WaitQueue waiting;
    List<Joined> joined;
  };

  [[nodiscard]] std::string_view search_domain(std::size_t index) const noexcept;
  [[nodiscard]] Task<Result<Records, ResolveError>> resolve(wire::DnsName name, RecordType type);
  [[nodiscard]] Task<Answer> ask(wire::DnsQuestion question);
  [[nodiscard]] Task<Answer> ask_servers(wire::DnsQuestion question);
  [[nodiscard]] Task<Answer> ask_server(wire::DnsQuestion question, Endpoint server, Duration timeout);
  [[nodiscard]] Task<Result<Slice, ResolveError>> exchange(wire::DnsQuery query, Endpoint server, Duration timeout);
  [[nodiscard]] Task<Result<Slice, ResolveError>> exchange_by_tcp(wire::DnsQuery query, Endpoint server);
  [[nodiscard]] wire::DnsQuery new_query(const wire::DnsQuestion& question, bool edns) noexcept;
  [[nodiscard]] Pending* find_pending(const wire::DnsQuestion& question) noexcept;
  void heed_network() noexcept;

  Shard& shard_;
  Transport transport_;
  ResolverOptions options_;
  ServerList configured_;
  ServerList asked_last_;  ///< a change of servers is a change of network: what is cached may not hold there
  ServerOrder order_;
  Cache cache_;
  List<Pending> pending_;
  std::size_t pending_count_ = 0;
  Counters counters_;
};

static_assert(mirage::Resolver<Resolver>);

}  // namespace mirage::dns
