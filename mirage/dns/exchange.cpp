// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/dns/exchange.hpp>

namespace mirage::dns {

namespace {

/// The payload in one piece: nearly always it is already.
Slice contiguous(SliceList&& payload, BufferPool& pool) noexcept {
  if (payload.size() == 1) return std::move(payload[0]);
  MutableSlice joined = pool.allocate_sparing(payload.byte_count(), 0);
  if (!joined) return {};
  for (const Slice& slice : payload) std::ranges::copy(slice.bytes(), joined.grow_back(slice.size()).begin());
  return std::move(joined).freeze();
}

}  // namespace

Match match(const wire::DnsHead& head, const wire::DnsQuery& query) noexcept {
  if (!head.is_response() || !head.is_query_opcode() || head.id != query.id) return Match::none;
  // A server that does not understand EDNS may leave the question out of its FORMERR (RFC 6891 7).
  if (!head.question) return head.code() == wire::dns_code::format_error ? Match::exact : Match::none;
  const wire::DnsQuestion& asked = query.question;
  if (head.question->type != asked.type || head.question->of_class != asked.of_class) return Match::none;
  if (head.question->name == asked.name) return Match::exact;
  return head.question->name.same(asked.name) ? Match::other_case : Match::none;
}

/// RFC 5452 9.2: a port that nobody can tell. UDP chooses, for it knows which ones are this shard's: what is sent to
/// another's port goes to that shard.
bool Exchange::bind() noexcept {
  const auto bound = udp_.bind(0, *this);
  if (bound) port_ = *bound;
  return bound.has_value();
}

Exchange::State Exchange::start(Duration timeout) noexcept {
  if (!bind()) return state_;
  MutableSlice bytes = shard_.buffers().allocate(wire::DnsQuery::maximum_size);
  if (!bytes) return state_;
  const std::size_t size = query_.emit(bytes.grow_back(wire::DnsQuery::maximum_size));
  bytes.truncate(static_cast<std::uint32_t>(size));
  Datagram datagram;
  datagram.local = {.address = local_, .port = *port_};
  datagram.remote = server_;
  (void)datagram.payload.push_back(std::move(bytes).freeze());
  if (udp_.send({&datagram, 1}) != 1) return state_;
  ++counters_.queries_udp;
  timer_.arm(shard_.timers(), after(shard_.now(), timeout));
  return state_ = State::waiting;
}

void Exchange::on_burst(std::span<Datagram> datagrams) noexcept {
  for (Datagram& datagram : datagrams) {
    if (state_ == State::waiting) {
      consider(datagram);
    } else {
      ++counters_.drop_late;
    }
  }
}

void Exchange::consider(Datagram& datagram) noexcept {
  // RFC 5452 9.1: from where the query went, to where it came from.
  const bool for_us = local_.is_unspecified() || datagram.local.address == local_;
  if (datagram.remote != server_ || !for_us) {
    ++counters_.drop_source;
    return;
  }
  Slice message = contiguous(std::move(datagram.payload), shard_.buffers());
  const auto head = wire::DnsHead::parse(message.bytes());
  const Match matched = head ? match(*head, query_) : Match::none;
  if (matched == Match::none) {
    ++(head ? counters_.drop_mismatch : counters_.drop_malformed);
    if (++mismatches_ < tolerance) return;
    ++counters_.suspicious;
    return finish(State::by_tcp);
  }
  if (matched == Match::other_case) {
    // A server that does not keep the letters, or somebody who guessed the rest: TCP tells.
    ++counters_.case_changed;
    return finish(State::by_tcp);
  }
  if (head->is_truncated()) {
    ++counters_.truncated;  // RFC 2181 9: what is there is not used
    return finish(State::by_tcp);
  }
  reply_ = std::move(message);
  finish(State::answered);
}

void Exchange::finish(State state) noexcept {
  state_ = state;
  timer_.disarm();
  if (port_) udp_.unbind(*std::exchange(port_, std::nullopt));
  done_.notify_all();
}

}  // namespace mirage::dns
