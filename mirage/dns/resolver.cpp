// SPDX-License-Identifier: ISC
#include <mirage/async/sleep.hpp>
#include <mirage/dns/exchange.hpp>
#include <mirage/dns/resolver.hpp>
#include <mirage/dns/special.hpp>

namespace mirage::dns {

using wire::DnsName;
using wire::DnsQuery;
using wire::DnsQuestion;
using wire::DnsView;
namespace dns_code = wire::dns_code;

namespace {

/// The name may exist elsewhere: what a search goes on after.
bool is_absent(ResolveError error) noexcept {
  return error == ResolveError::not_found || error == ResolveError::no_data;
}

/// Whether another server may know better.
bool may_know_better(const Answer& answer) noexcept {
  if (answer.kind != Answer::Kind::failure) return false;
  return answer.error == ResolveError::failed || answer.error == ResolveError::timed_out ||
         answer.error == ResolveError::no_server;
}

/// RFC 6891 7: what a server says that does not know EDNS, or not our version.
bool refuses_edns(const DnsView& view) noexcept {
  const std::uint16_t code = view.code();
  if (code == dns_code::bad_version) return true;
  return !view.has_edns() && (code == dns_code::format_error || code == dns_code::not_implemented);
}

}  // namespace

Task<Result<void, StartError>> Resolver::start() {
  if (!shard_.seed_random()) co_return Failure{StartError("dns: no entropy source on this machine")};
  const auto servers = ServerList::parse(options_.name_servers);
  if (!servers) {
    co_return Failure{StartError("dns: bad name servers '{}': ADDRESS[:PORT], at most {}, separated by commas",
                                 options_.name_servers, NameService::maximum_servers)};
  }
  configured_ = *servers;
  for (std::size_t i = 0; !search_domain(i).empty(); ++i) {
    if (DnsName::from_text(search_domain(i))) continue;
    co_return Failure{StartError("dns: bad search domain '{}'", search_domain(i))};
  }
  co_return Result<void, StartError>{};
}

// --- names ---

Task<Result<Records, ResolveError>> Resolver::lookup(std::string_view name, RecordType type) {
  ++counters_.lookups;
  if (auto known = special_name(name, type, shard_.buffers())) co_return std::move(*known);
  const auto asked = DnsName::from_text(name);
  if (!asked || asked->is_root()) co_return Failure{ResolveError::bad_name};
  if (name.find('.') == std::string_view::npos) {
    for (std::size_t i = 0; !search_domain(i).empty(); ++i) {
      const auto domain = DnsName::from_text(search_domain(i));
      DnsName whole = *asked;
      if (!domain || !whole.append(*domain)) continue;
      auto found = co_await resolve(whole, type);
      if (found || !is_absent(found.error())) co_return found;
    }
  }
  co_return co_await resolve(*asked, type);
}

std::string_view Resolver::search_domain(std::size_t index) const noexcept {
  const NameService* network = transport_.network();
  std::string_view domains = options_.search;
  if (domains.empty() && network != nullptr) domains = network->search();
  for (; index > 0 && !domains.empty(); --index) {
    const auto comma = domains.find(',');
    domains = comma == std::string_view::npos ? std::string_view{} : domains.substr(comma + 1);
  }
  return domains.substr(0, domains.find(','));
}

Task<Result<Records, ResolveError>> Resolver::resolve(DnsName name, RecordType type) {
  for (unsigned links = 0; links <= maximum_aliases; ++links) {
    Answer answer = co_await ask({name, static_cast<std::uint16_t>(type)});
    switch (answer.kind) {
      case Answer::Kind::records:
        co_return Records{std::move(answer.records)};
      case Answer::Kind::failure:
        co_return Failure{answer.error};
      case Answer::Kind::alias:
        name = answer.alias;
    }
  }
  co_return Failure{ResolveError::failed};
}

// --- questions ---

ServerList Resolver::servers() const noexcept {
  const NameService* network = transport_.network();
  return configured_.count > 0 || network == nullptr ? configured_ : ServerList::of(*network);
}

void Resolver::heed_network() noexcept {
  const ServerList now = servers();
  if (now == asked_last_) return;
  asked_last_ = now;
  order_.reset();
  cache_.clear();
}

Resolver::Pending* Resolver::find_pending(const DnsQuestion& question) noexcept {
  for (Pending* pending = pending_.front(); pending != nullptr; pending = pending_.next(*pending)) {
    if (pending->question.type == question.type && pending->question.name.same(question.name)) return pending;
  }
  return nullptr;
}

Task<Answer> Resolver::ask(DnsQuestion question) {
  while (true) {
    heed_network();
    if (auto known = cache_.find(question, shard_.now(), shard_.buffers())) {
      ++counters_.cache_hits;
      co_return std::move(*known);
    }
    Pending* same = find_pending(question);
    if (same == nullptr) break;
    ++counters_.joined;
    Joined joined;
    same->joined.push_back(joined);
    if (co_await same->waiting.wait() == WaitStatus::cancelled) co_return Answer::failure(ResolveError::cancelled);
    if (joined.answer) co_return *std::move(joined.answer);
  }
  if (pending_count_ == maximum_pending) {
    ++counters_.refused;
    co_return Answer::no_memory();
  }
  Pending pending{*this, question};
  const ServerList servers = asked_last_;
  Answer answer = co_await ask_servers(question);
  // Servers of a network that is gone: what they said is for who asked then.
  heed_network();
  if (servers == asked_last_) counters_.cache_evicted += cache_.insert(question, answer, shard_.now());
  pending.tell(answer);
  co_return answer;
}

Task<Answer> Resolver::ask_servers(DnsQuestion question) {
  const ServerList servers = asked_last_;
  Answer answer = Answer::failure(ResolveError::no_server);
  Duration timeout = options_.timeout;
  for (unsigned round = 0; round < options_.rounds; ++round, timeout *= 2) {
    const auto order = order_.order(servers.count, shard_.now());
    bool silent = false;
    for (std::uint8_t i = 0; i < servers.count; ++i) {
      answer = co_await ask_server(question, servers.items[order[i]], timeout);
      if (!may_know_better(answer)) {
        if (answer.kind != Answer::Kind::failure || answer.ttl > Duration{}) order_.answered(order[i]);
        co_return answer;
      }
      if (answer.error == ResolveError::failed) continue;
      silent = silent || answer.error == ResolveError::timed_out;
      if (servers == asked_last_) order_.failed(order[i], shard_.now());
    }
    if (!silent) break;  // they have all spoken, or cannot be reached: asking again would change nothing
  }
  co_return answer;
}

DnsQuery Resolver::new_query(const DnsQuestion& question, bool edns) noexcept {
  // RFC 5452 9.2: a new id (and port) for each query, and a bit more for each letter of the name.
  Drbg& random = shard_.random();
  DnsQuery query{static_cast<std::uint16_t>(random.next_u32()), question, edns ? udp_size : std::uint16_t{0}};
  query.question.name.mix_case([&random] { return (random.next_u32() & 1) != 0; });
  return query;
}

Task<Answer> Resolver::ask_server(DnsQuestion question, Endpoint server, Duration timeout) {
  for (bool edns = true;; edns = false) {
    const auto reply = co_await exchange(new_query(question, edns), server, timeout);
    if (!reply) {
      const bool remembered = reply.error() == ResolveError::timed_out || reply.error() == ResolveError::failed;
      co_return Answer::failure(reply.error(), remembered ? failure_ttl : Duration{});
    }
    const auto view = DnsView::parse(reply->bytes());
    if (!view) {
      ++counters_.drop_malformed;
      co_return Answer::failure(ResolveError::failed, failure_ttl);
    }
    ++counters_.answers;
    if (edns && refuses_edns(*view)) {
      ++counters_.edns_refused;
      continue;
    }
    Answer answer = interpret(*view, question, shard_.buffers());
    if (may_know_better(answer)) ++counters_.server_errors;
    co_return answer;
  }
}

// --- replies ---

Task<Result<Slice, ResolveError>> Resolver::exchange(DnsQuery query, Endpoint server, Duration timeout) {
  Exchange by_udp{shard_, transport_.udp(), transport_.source_for(server), server, query, counters_};
  if (by_udp.start(timeout) == Exchange::State::waiting && co_await by_udp.done().wait() == WaitStatus::cancelled) {
    co_return Failure{ResolveError::cancelled};
  }
  switch (by_udp.state()) {
    case Exchange::State::answered:
      co_return by_udp.take_reply();
    case Exchange::State::by_tcp:
      co_return co_await exchange_by_tcp(query, server);
    case Exchange::State::timed_out:
      co_return Failure{ResolveError::timed_out};
    case Exchange::State::unsent:
    case Exchange::State::waiting:
      break;
  }
  co_return Failure{ResolveError::no_server};
}

Task<Result<Slice, ResolveError>> Resolver::exchange_by_tcp(DnsQuery query, Endpoint server) {
  ++counters_.queries_tcp;
  auto reply = co_await within(options_.tcp_timeout, transport_.by_tcp(shard_, server, query));
  if (!reply) {
    ++counters_.timeouts;
    co_return Failure{ResolveError::timed_out};
  }
  if (!*reply) co_return Failure{reply->error()};
  const auto head = wire::DnsHead::parse((*reply)->bytes());
  // Letters may have changed: who answers on a connection to the server's port is the server.
  if (!head || match(*head, query) == Match::none) {
    ++counters_.drop_mismatch;
    co_return Failure{ResolveError::failed};
  }
  co_return std::move(**reply);
}

}  // namespace mirage::dns
