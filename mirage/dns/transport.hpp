// SPDX-License-Identifier: ISC
// The stack below, behind function pointers: the resolver is compiled once, whatever stack it runs on.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/module/name_service.hpp>
#include <mirage/module/resolver.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/module/udp_port.hpp>
#include <mirage/wire/dns.hpp>

namespace mirage::dns {

/// A message on a stream: two bytes of length, then the message (RFC 1035 4.2.2).
class StreamedMessage {
 public:
  explicit StreamedMessage(Shard& shard) noexcept : shard_(shard) {}
  enum class State : std::uint8_t { incomplete, complete, no_memory };
  /// Takes what was read; bytes behind the message are ignored.
  [[nodiscard]] State take(const SliceList& bytes) noexcept;
  [[nodiscard]] Slice message() && noexcept { return std::move(message_).freeze(); }

 private:
  Shard& shard_;
  MutableSlice message_;
  std::uint32_t length_ = 0;
  unsigned length_bytes_ = 0;
};

/// A query with its length in front.
struct StreamedQuery {
  std::array<std::byte, 2 + wire::DnsQuery::maximum_size> memory{};
  std::size_t size = 0;
  explicit StreamedQuery(const wire::DnsQuery& query) noexcept {
    size = query.emit(MutableBytes(memory).subspan(2));
    store_big(MutableBytes(memory), 0, static_cast<std::uint16_t>(size));
    size += 2;
  }
  [[nodiscard]] Bytes bytes() const noexcept { return Bytes(memory).first(size); }
};

[[nodiscard]] constexpr ResolveError to_resolve_error(FlowError error) noexcept {
  if (error == FlowError::cancelled) return ResolveError::cancelled;
  if (error == FlowError::no_memory) return ResolveError::no_memory;
  return error == FlowError::timed_out ? ResolveError::timed_out : ResolveError::no_server;
}

/// One question and its answer over a connection of its own.
template <mirage::Tcp T>
Task<Result<Slice, ResolveError>> exchange_by_tcp(Shard& shard, void* tcp, Endpoint server, wire::DnsQuery query) {
  auto flow = co_await static_cast<T*>(tcp)->connect(server);
  if (!flow) co_return Failure{to_resolve_error(flow.error())};
  const StreamedQuery framed{query};
  if (const auto written = co_await flow->write(framed.bytes()); !written) {
    co_return Failure{to_resolve_error(written.error())};
  }
  StreamedMessage reply{shard};
  while (true) {
    const auto bytes = co_await flow->read();
    if (!bytes) co_return Failure{to_resolve_error(bytes.error())};
    if (bytes->empty()) co_return Failure{ResolveError::failed};
    const auto state = reply.take(*bytes);
    if (state == StreamedMessage::State::no_memory) co_return Failure{ResolveError::no_memory};
    if (state == StreamedMessage::State::complete) break;
  }
  flow->close();
  co_return std::move(reply).message();
}

/// Refers to the stack, which must outlive it.
class Transport {
 public:
  template <mirage::Stack S>
  explicit Transport(S& stack) noexcept
      : udp_(stack.udp()), stack_(&stack), tcp_(&stack.tcp()), exchange_(&exchange_by_tcp<typename S::Tcp>) {
    if constexpr (LearnsNameService<S>) {
      network_ = [](const void* self) noexcept { return &static_cast<const S*>(self)->name_service(); };
    }
    if constexpr (requires { stack.ip().route(IpAddress{}, IpAddress{}, std::uint16_t{0}); }) {
      source_ = [](void* self, const Endpoint& to) noexcept {
        const auto path = static_cast<S*>(self)->ip().route(IpAddress{}, to.address, to.zone);
        return path ? path->source : IpAddress{};
      };
    }
  }
  [[nodiscard]] const UdpPort& udp() const noexcept { return udp_; }
  [[nodiscard]] Task<Result<Slice, ResolveError>> by_tcp(Shard& shard, const Endpoint& server,
                                                         const wire::DnsQuery& query) const {
    return exchange_(shard, tcp_, server, query);
  }
  /// Our address of what goes to `server`; unspecified when the stack does not say, or has no way there.
  [[nodiscard]] IpAddress source_for(const Endpoint& server) const noexcept {
    return source_ == nullptr ? IpAddress{} : source_(stack_, server);
  }
  /// What the network told; null when the stack does not learn it.
  [[nodiscard]] const NameService* network() const noexcept { return network_ == nullptr ? nullptr : network_(stack_); }

 private:
  UdpPort udp_;
  void* stack_;
  void* tcp_;
  Task<Result<Slice, ResolveError>> (*exchange_)(Shard&, void*, Endpoint, wire::DnsQuery);
  const NameService* (*network_)(const void*) noexcept = nullptr;
  IpAddress (*source_)(void*, const Endpoint&) noexcept = nullptr;
};

}  // namespace mirage::dns
