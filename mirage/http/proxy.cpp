// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/async/scope.hpp>
#include <mirage/http/proxy.hpp>

namespace mirage::http {
namespace {

/// Passes bytes on until they end, then the end.
Task<void> pump(Shard&, Tunnel& from, Tunnel& to) {
  while (true) {
    auto got = co_await from.read();
    if (!got) {
      to.abort();
      co_return;
    }
    if (got->empty()) break;
    if (!co_await to.write(*std::move(got))) {
      from.abort();
      co_return;
    }
  }
  to.shutdown();
}

}  // namespace

bool is_hop_by_hop(std::string_view name, std::string_view connection) noexcept {
  constexpr std::array<std::string_view, 9> names{
      "connection", "keep-alive",        "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
      "trailer",    "transfer-encoding", "upgrade"};
  if (std::ranges::any_of(names, [name](std::string_view one) { return equals_ignoring_case(one, name); })) return true;
  return list_contains(connection, name);
}

bool copy_end_to_end(HeaderBlock& to, std::span<const Header> from, BufferPool& pool) noexcept {
  std::size_t size = 768;  // room for what a proxy adds
  for (const Header& header : from) size += header.name.size() + header.value.size() + 4;
  if (!to.enlarge(pool, size)) return false;
  const auto named = [from](std::string_view name) {
    return std::ranges::any_of(from, [name](const Header& header) {
      return equals_ignoring_case(header.name, "connection") && is_hop_by_hop(name, header.value);
    });
  };
  for (const Header& header : from) {
    if (is_hop_by_hop(header.name, {}) || named(header.name)) continue;
    // Host is the backend's; the framing is each side's own.
    if (equals_ignoring_case(header.name, "host") || equals_ignoring_case(header.name, "expect")) continue;
    (void)to.add(header.name, header.value);
  }
  return true;
}

bool add_forwarded(HeaderBlock& to, const Request& request) noexcept {
  Text<320> chain;
  if (const auto before = request.header("x-forwarded-for")) {
    format_to(chain.writer(), "{}, ", before->substr(0, 256));
    to.remove("x-forwarded-for");
  }
  append_value(chain.writer(), request.peer.address);
  to.remove("x-forwarded-host");
  to.remove("x-forwarded-proto");
  return to.add("X-Forwarded-For", chain.view()) &&
         (request.authority.size() > 255 || to.add("X-Forwarded-Host", request.authority)) &&
         to.add("X-Forwarded-Proto", std::string_view{"http"}) && to.add("Via", std::string_view{"1.1 mirage"});
}

Response gateway_failure(ClientError error) noexcept {
  switch (error) {
    case ClientError::timed_out:
      return Response::text(504, "the server behind does not answer in time\n");
    case ClientError::busy:
    case ClientError::no_memory: {
      Response response = Response::text(503, "no server is free\n");
      (void)response.headers.add("Retry-After", std::string_view{"1"});
      return response;
    }
    case ClientError::not_resolved:
      return Response::text(404, "not found\n");
    default:
      return Response::text(502, "the server behind does not answer\n");
  }
}

Task<Result<SliceList, BodyError>> ForwardedBody::next() noexcept {
  auto part = co_await body_.read();
  if (!part) co_return Failure{BodyError::failed};
  co_return std::move(*part);
}

Task<Result<SliceList, BodyError>> RelayedBody::next() noexcept {
  auto part = co_await response_.body().read();
  if (!part) co_return Failure{BodyError::failed};
  co_return std::move(*part);
}

const HeaderBlock* RelayedBody::trailers() noexcept {
  for (const Header field : response_.body().trailers()) (void)trailers_.add(field.name, field.value);
  return &trailers_;
}

Task<Result<void, FlowError>> RelayedTunnel::run(Tunnel& tunnel) noexcept {
  Scope both{tunnel.shard()};
  const bool started = both.spawn(pump(tunnel.shard(), tunnel, response_.tunnel())) &&
                       both.spawn(pump(tunnel.shard(), response_.tunnel(), tunnel));
  if (!started) both.cancel();
  co_await both.join();
  if (!started) co_return Failure{FlowError::no_memory};
  co_return Result<void, FlowError>{};
}

bool relay(Shard& shard, const Request& request, ClientResponse& response, Backend& backend, Response& ours) noexcept {
  const ResponseHead& head = response.head();
  ours.status = head.status;
  if (!copy_end_to_end(ours.headers, head.headers(), shard.buffers())) return false;
  (void)ours.headers.add("Via", std::string_view{"1.1 mirage"});
  if (head.status == 101) {
    ours.upgrade.reset(new (std::nothrow) RelayedTunnel(std::move(response), backend));
    return ours.upgrade != nullptr;
  }
  if (request.method == Method::head || head.status == 304) {
    const auto length = head.header("content-length");
    ours.omit_body = length.has_value();
    ours.announced_length = parse_unsigned<std::uint64_t>(length.value_or("")).value_or(0);
  }
  ours.source_length_known = !head.framing.chunked && !head.framing.until_close;
  ours.source_length = head.framing.content_length;
  ours.source.reset(new (std::nothrow) RelayedBody(shard, std::move(response), backend));
  return ours.source != nullptr;
}

}  // namespace mirage::http
