// SPDX-License-Identifier: ISC
// HTTP/1.1 and HTTP/2 on one port, without TLS: a client that knows (prior knowledge, RFC 9113 section 3.3) begins with
// the connection preface, anybody else with a request of HTTP/1.1. An image that does not use it has no nghttp2.
#pragma once

#include <mirage/http/h2/connection.hpp>
#include <mirage/http/server.hpp>

namespace mirage::http::h2 {

/// What a client that knows begins with, as far as it is no line of HTTP/1.1 (RFC 9113 section 3.4).
inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n";

/// A flow whose first bytes have been looked at.
template <Flow F>
class Preread {
 public:
  explicit Preread(F flow) noexcept : flow_(std::move(flow)) {}
  /// What is read before the flow goes on: the first `matched` bytes of the preface, then `early`.
  void put_back(std::size_t matched, SliceList early) noexcept {
    matched_ = matched;
    early_ = std::move(early);
  }
  [[nodiscard]] F& flow() noexcept { return flow_; }

  Task<Result<SliceList, FlowError>> read() {
    if (matched_ != 0) co_return SliceList{Slice::from_static(preface.substr(0, std::exchange(matched_, 0)))};
    if (!early_.empty()) co_return std::move(early_);
    co_return co_await flow_.read();
  }
  auto write(SliceList slices) { return flow_.write(std::move(slices)); }
  auto write(Bytes bytes) { return flow_.write(bytes); }
  void shutdown() noexcept { flow_.shutdown(); }
  void close() noexcept { flow_.close(); }
  void abort() noexcept { flow_.abort(); }
  [[nodiscard]] Endpoint peer() noexcept { return flow_.peer(); }
  [[nodiscard]] Endpoint local() noexcept { return flow_.local(); }
  [[nodiscard]] std::uint32_t headroom() noexcept { return flow_.headroom(); }
  [[nodiscard]] std::uint32_t tailroom() noexcept { return flow_.tailroom(); }
  [[nodiscard]] Shard& shard() noexcept { return flow_.shard(); }

 private:
  F flow_;
  std::size_t matched_ = 0;
  SliceList early_;
};

/// As http::Connection (connection.hpp), for both versions.
template <Flow F, Handler H>
class EitherConnection {
 public:
  struct Counters : ServerCounters {
    h2::Counters h2;
  };
  EitherConnection(F flow, H& handler, const ServerOptions& options, Counters& counters, DateCache& date) noexcept
      : flow_(std::move(flow)), handler_(handler), options_(options), counters_(counters), date_(date) {}
  [[nodiscard]] Shard& shard() noexcept { return flow_.shard(); }

  Task<Step> run() {
    const auto found = co_await within(options_.idle_timeout, detect());
    if (!found || !*found) {
      flow_.close();
      co_return Step::failed;
    }
    if (**found) {
      Connection<Preread<F>, H> connection{std::move(flow_), handler_,     options_, Options{},
                                           counters_,        counters_.h2, date_};
      co_return co_await connection.run();
    }
    http::Connection<Preread<F>, H> connection{std::move(flow_), handler_, options_, counters_, date_};
    co_return co_await connection.run();
  }

 private:
  /// Whether what comes begins as the preface does.
  Task<Result<bool, FlowError>> detect() {
    for (std::size_t matched = 0;;) {
      auto received = co_await flow_.flow().read();
      if (!received) co_return Failure{received.error()};
      std::size_t place = matched;
      bool same = !received->empty();
      for (const Slice& slice : *received) {
        const std::string_view rest = preface.substr(place);
        const std::string_view piece = slice.text().substr(0, rest.size());
        same = same && rest.starts_with(piece);
        place += piece.size();
      }
      if (!same || place == preface.size()) {
        flow_.put_back(matched, *std::move(received));
        co_return same;
      }
      matched = place;
    }
  }

  Preread<F> flow_;
  H& handler_;
  const ServerOptions& options_;
  Counters& counters_;
  DateCache& date_;
};

/// As http::Server, for both versions of the protocol.
template <class TcpType, Handler H>
using Server = http::Server<TcpType, H, EitherConnection>;

}  // namespace mirage::http::h2
