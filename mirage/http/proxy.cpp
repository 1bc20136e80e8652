// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <new>

#include <mirage/async/scope.hpp>
#include <mirage/http/proxy.hpp>

namespace mirage::http {
namespace {

/// Cancels the tasks of a tunnel that nothing goes through.
class IdleLimit final : private Timer {
 public:
  IdleLimit(Scope& tasks, Duration limit) noexcept
      : Timer(&IdleLimit::expire), tasks_(tasks), limit_(limit), due_(after(tasks.shard().now(), limit)) {
    arm(tasks_.shard().timers(), due_);
  }
  /// Something went through. The timer re-arms itself when it fires too early.
  void touch() noexcept { due_ = after(tasks_.shard().now(), limit_); }

 private:
  static void expire(Timer& timer) noexcept {
    auto& self = static_cast<IdleLimit&>(timer);
    if (self.tasks_.shard().now() < self.due_) return self.arm(self.tasks_.shard().timers(), self.due_);
    self.tasks_.cancel();
  }
  Scope& tasks_;
  Duration limit_;
  Time due_;
};

/// Passes bytes on until they end, then the end.
Task<void> pump(Shard&, Tunnel& from, Tunnel& to, IdleLimit& limit) {
  while (true) {
    auto got = co_await from.read();
    limit.touch();
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
  constexpr std::array<std::string_view, 10> names{
      "connection", "keep-alive",        "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
      "trailer",    "transfer-encoding", "upgrade",          "http2-settings"};
  if (std::ranges::any_of(names, [name](std::string_view one) { return equals_ignoring_case(one, name); })) return true;
  return list_contains(connection, name);
}

std::string_view choose_upgrade(std::span<const Header> fields, std::string_view allowed) noexcept {
  for (const Header& field : fields) {
    if (!equals_ignoring_case(field.name, "upgrade")) continue;
    for (std::string_view asked = field.value; !asked.empty();) {
      const auto comma = asked.find(',');
      const std::string_view one = trim(asked.substr(0, comma));
      if (list_contains(allowed, one)) return one;
      asked = comma == std::string_view::npos ? std::string_view{} : asked.substr(comma + 1);
    }
  }
  return {};
}

std::string_view origin_target(const Request& request, BufferPool& pool, Slice& memory) noexcept {
  const std::string_view target = request.target;
  const auto scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  const auto end = target.find_first_of("/?", scheme + 3);
  if (end == std::string_view::npos) return request.method == Method::options ? "*" : "/";
  const std::string_view rest = target.substr(end);
  if (rest.starts_with('/')) return rest;
  MutableSlice text = pool.allocate_sparing(rest.size() + 1, 0);
  if (!text) return {};
  const MutableBytes bytes = text.grow_back(static_cast<std::uint32_t>(rest.size() + 1));
  bytes[0] = std::byte{'/'};
  std::memcpy(&bytes[1], rest.data(), rest.size());
  memory = std::move(text).freeze();
  return memory.text();
}

namespace {

/// The same by every Connection line of `head`.
bool ends_here(std::string_view name, std::span<const Header> head) noexcept {
  return is_hop_by_hop(name, {}) || std::ranges::any_of(head, [name](const Header& header) {
           return equals_ignoring_case(header.name, "connection") && is_hop_by_hop(name, header.value);
         });
}

}  // namespace

bool copy_end_to_end(HeaderBlock& to, std::span<const Header> from, BufferPool& pool) noexcept {
  std::size_t size = 1024;  // room for what a proxy adds
  for (const Header& header : from) size += header.name.size() + header.value.size() + 4;
  if (!to.enlarge(pool, size)) return false;
  for (const Header& header : from) {
    if (ends_here(header.name, from)) continue;
    // Host is the backend's; the framing is each side's own.
    if (equals_ignoring_case(header.name, "host") || equals_ignoring_case(header.name, "expect")) continue;
    (void)to.add(header.name, header.value);
  }
  return true;
}

bool copy_trailers(HeaderBlock& to, FieldLines from, std::span<const Header> head, BufferPool& pool) noexcept {
  // As they came: a line may have been written with less white space than ours.
  std::size_t size = 0;
  for (const Header field : from) size += field.name.size() + field.value.size() + 4;
  if (size > HeaderBlock::capacity && !to.enlarge(pool, size)) return false;
  for (const Header field : from) {
    if (!ends_here(field.name, head)) (void)to.add(field.name, field.value);
  }
  return true;
}

namespace {

/// The protocol that a message came by (RFC 9110 section 7.6.3).
std::string_view via(Version version) noexcept {
  return version == Version::http_2 ? "2 mirage" : version == Version::http_1_0 ? "1.0 mirage" : "1.1 mirage";
}

/// What limits how far a request goes; nothing for methods that know no such limit.
std::optional<std::string_view> limit_of(const Request& request) noexcept {
  const bool limited = request.method == Method::trace || request.method == Method::options;
  return limited ? request.header("max-forwards") : std::nullopt;
}

/// RFC 9110 section 7.6.2: any number of digits; what is beyond ours goes on as the most that we know.
std::optional<std::uint32_t> hops_of(std::string_view limit) noexcept {
  if (limit.empty() || limit.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return parse_unsigned<std::uint32_t>(limit).value_or(UINT32_MAX);
}

constexpr std::size_t longest_chain = 512;

/// What is said of who forwarded a request, "A, B, ": its lines are one list (RFC 9110 section 5.3). Of what is too
/// long the end is kept, whole items of it: the last ones are those that a proxy in front of this one has added, which
/// may be trusted.
std::string_view forwarded_before(std::array<char, longest_chain>& memory, const Request& request) noexcept {
  std::size_t begin = memory.size();
  const auto fields = request.headers();
  for (std::size_t i = fields.size(); i-- > 0;) {
    if (!equals_ignoring_case(fields[i].name, "x-forwarded-for")) continue;
    std::string_view value = fields[i].value;
    const std::size_t room = begin < 2 ? 0 : begin - 2;
    const bool is_cut = value.size() > room;
    if (is_cut) {
      value.remove_prefix(value.size() - room);
      const auto comma = value.find(',');
      value = comma == std::string_view::npos ? std::string_view{} : trim(value.substr(comma + 1));
    }
    if (!value.empty()) {
      begin -= value.size() + 2;
      std::ranges::copy(value, memory.begin() + static_cast<std::ptrdiff_t>(begin));
      std::ranges::copy(std::string_view{", "}, memory.begin() + static_cast<std::ptrdiff_t>(begin + value.size()));
    }
    if (is_cut) break;
  }
  return std::string_view{memory.data(), memory.size()}.substr(begin);
}

}  // namespace

std::uint16_t status_here(const Request& request) noexcept {
  const auto limit = limit_of(request);
  if (!limit) return 0;
  const auto left = hops_of(*limit);
  if (!left) return 400;
  if (*left != 0) return 0;
  return request.method == Method::options ? 200 : 501;  // what came here is shown to nobody: it may hold secrets
}

bool add_forwarded(HeaderBlock& to, const Request& request) noexcept {
  std::array<char, longest_chain> memory;
  Text<longest_chain + 64> chain;
  chain.writer().append(forwarded_before(memory, request));
  append_value(chain.writer(), request.peer.address);
  to.remove("x-forwarded-for");
  to.remove("x-forwarded-host");
  to.remove("x-forwarded-proto");
  if (const auto limit = limit_of(request)) {
    to.remove("max-forwards");
    if (!to.add("Max-Forwards", std::uint64_t{hops_of(*limit).value_or(1) - 1})) return false;
  }
  return to.add("X-Forwarded-For", chain.view()) &&
         (request.authority.empty() || request.authority.size() > 255 ||
          to.add("X-Forwarded-Host", request.authority)) &&
         to.add("X-Forwarded-Proto", std::string_view{"http"}) && to.add("Via", via(request.version));
}

Response gateway_failure(ClientError error) noexcept {
  switch (error) {
    case ClientError::timed_out:
      return Response::text(504, "the server behind does not answer in time\n");
    case ClientError::body:
      return Response::text(400, "the request's body is broken, or comes too slowly\n");
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

bool blames_backend(ClientError error) noexcept {
  return error == ClientError::not_connected || error == ClientError::timed_out || error == ClientError::closed ||
         error == ClientError::malformed || error == ClientError::too_large;
}

Task<Result<SliceList, BodyError>> ForwardedBody::read() noexcept {
  const bool limited = limits_.minimum_rate != 0;
  const Time before = shard_.now();
  auto part = co_await within(limited ? patience_ : Duration{24h}, body_.read());
  if (!part || !*part) co_return Failure{BodyError::failed};
  if (limited) {
    const Duration earned = Duration{1s} * static_cast<std::int64_t>((*part)->byte_count()) / limits_.minimum_rate;
    patience_ = std::min(limits_.patience, patience_ - (shard_.now() - before) + earned);
  }
  co_return std::move(**part);
}

Task<Result<void, BodyError>> ForwardedBody::begin() noexcept {
  auto part = co_await read();
  if (!part) co_return Failure{part.error()};
  first_ = std::move(*part);
  co_return Result<void, BodyError>{};
}

Task<Result<SliceList, BodyError>> ForwardedBody::next() noexcept {
  if (first_) {
    SliceList first = std::move(*first_);
    first_.reset();
    co_return first;
  }
  co_return co_await read();
}

const HeaderBlock* ForwardedBody::trailers() noexcept {
  const bool copied = copy_trailers(trailers_, body_.trailers(), request_.headers(), shard_.buffers());
  return copied ? &trailers_ : nullptr;
}

Task<Result<SliceList, BodyError>> RelayedBody::next() noexcept {
  auto part = co_await response_.body().read();
  if (!part) co_return Failure{BodyError::failed};
  co_return std::move(*part);
}

const HeaderBlock* RelayedBody::trailers() noexcept {
  const bool copied =
      copy_trailers(trailers_, response_.body().trailers(), response_.head().headers(), shard_.buffers());
  return copied ? &trailers_ : nullptr;
}

Task<Result<void, FlowError>> RelayedTunnel::run(Tunnel& tunnel) noexcept {
  Scope both{tunnel.shard()};
  IdleLimit limit{both, idle_};
  const bool started = both.spawn(pump(tunnel.shard(), tunnel, response_.tunnel(), limit)) &&
                       both.spawn(pump(tunnel.shard(), response_.tunnel(), tunnel, limit));
  if (!started) both.cancel();
  co_await both.join();
  if (!started) co_return Failure{FlowError::no_memory};
  co_return Result<void, FlowError>{};
}

bool relay(Shard& shard, const Request& request, ClientResponse& response, Backend& backend,
           const ProxyOptions& options, Response& ours) noexcept {
  const ResponseHead& head = response.head();
  ours.status = head.status > 599 ? 502 : head.status;  // RFC 9110 section 15: what is none counts as an error
  if (!copy_end_to_end(ours.headers, head.headers(), shard.buffers())) return false;
  (void)ours.headers.add("Via", via(head.version));
  if (head.status == 426) {  // which must say to what (RFC 9110 section 15.5.22), as far as we pass it on
    const std::string_view protocol = choose_upgrade(head.headers(), options.upgrades);
    if (!protocol.empty()) (void)ours.headers.add_upgrade(protocol);
  }
  if (head.status == 101) {
    ours.upgrade.reset(new (std::nothrow) RelayedTunnel(std::move(response), backend, options.tunnel_idle_timeout));
    return ours.upgrade != nullptr;
  }
  if (request.method == Method::head || head.status == 304) {
    const auto length = head.header("content-length");
    ours.omit_body = length.has_value();
    ours.announced_length = parse_unsigned<std::uint64_t>(length.value_or("")).value_or(0);
  }
  // What HEAD would have got has a length that nobody has said, if there is none.
  const bool silent = request.method == Method::head && !ours.omit_body;
  ours.source_length_known = !head.framing.chunked && !head.framing.until_close && !silent;
  ours.source_length = head.framing.content_length;
  ours.source.reset(new (std::nothrow) RelayedBody(shard, std::move(response), backend));
  return ours.source != nullptr;
}

}  // namespace mirage::http
