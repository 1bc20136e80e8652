// SPDX-License-Identifier: ISC
// For tests: a resolver on a stack, and a scripted name server on another, over a cable in virtual time.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/device/vnet/vnet.hpp>
#include <mirage/dns/resolver.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/net/stack.hpp>

namespace mirage::dns::test {

using wire::DnsName;
using wire::DnsQuestion;
namespace dns_type = wire::dns_type;

using Message = std::vector<std::byte>;
using Messages = std::vector<Message>;

inline DnsName name(std::string_view text) { return DnsName::from_text(text).value(); }

/// Writes a reply; sections in their order. Names are not compressed.
class Reply {
 public:
  /// To `question`, with its letters as they are.
  Reply(std::uint16_t id, const DnsQuestion& question, unsigned code = 0) {
    number(id);
    number(static_cast<std::uint16_t>(0x8180 | code));
    number(1);
    for (int i = 0; i < 3; ++i) number(0);
    put(question.name);
    number(question.type);
    number(question.of_class);
  }
  explicit Reply(const wire::DnsHead& asked, unsigned code = 0) : Reply(asked.id, *asked.question, code) {}
  Reply& record(std::size_t section_at, const DnsName& owner, std::uint16_t type, std::uint32_t ttl,
                const Message& data) {
    const auto count = load_big<std::uint16_t>(bytes, section_at);
    store_big(MutableBytes(bytes), section_at, static_cast<std::uint16_t>(count + 1));
    put(owner);
    number(type);
    number(1);
    number(static_cast<std::uint16_t>(ttl >> 16));
    number(static_cast<std::uint16_t>(ttl));
    number(static_cast<std::uint16_t>(data.size()));
    bytes.insert(bytes.end(), data.begin(), data.end());
    return *this;
  }
  Reply& answer(std::string_view owner, std::uint16_t type, const Message& data, std::uint32_t ttl = 60) {
    return record(wire::dns_at::answers, name(owner), type, ttl, data);
  }
  Reply& a(std::string_view owner, unsigned last, std::uint32_t ttl = 60) {
    return answer(owner, dns_type::a, data({192, 0, 2, last}), ttl);
  }
  Reply& cname(std::string_view owner, std::string_view target, std::uint32_t ttl = 60) {
    return answer(owner, dns_type::cname, data({}, target), ttl);
  }
  Reply& soa(std::uint32_t ttl, unsigned minimum) {
    Message soa = data({}, "ns.example");
    const Message rest = data({0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, minimum >> 8, minimum & 255});
    for (const std::byte byte : data({}, "admin.example")) soa.push_back(byte);
    soa.insert(soa.end(), rest.begin(), rest.end());
    return record(wire::dns_at::authorities, name("example"), dns_type::soa, ttl, soa);
  }
  Reply& opt() { return record(wire::dns_at::additionals, DnsName{}, dns_type::opt, 0, {}); }
  Reply& flags(unsigned set, unsigned clear = 0) {
    const unsigned old = load_big<std::uint16_t>(bytes, 2);
    store_big(MutableBytes(bytes), 2, static_cast<std::uint16_t>((old | set) & ~clear));
    return *this;
  }
  static Message data(std::initializer_list<unsigned> octets, std::string_view host = {}) {
    Message out;
    for (const unsigned octet : octets) out.push_back(static_cast<std::byte>(octet));
    if (!host.empty()) {
      for (const std::uint8_t octet : name(host).octets()) out.push_back(std::byte{octet});
    }
    return out;
  }
  Message bytes;

 private:
  void number(unsigned value) {
    bytes.push_back(static_cast<std::byte>(value >> 8));
    bytes.push_back(static_cast<std::byte>(value));
  }
  void put(const DnsName& owner) {
    for (const std::uint8_t octet : owner.octets()) bytes.push_back(std::byte{octet});
  }
};

/// What a server was asked.
struct Asked {
  wire::DnsHead head;
  std::string name;  ///< in lower case
  std::uint16_t type = 0;
  bool edns = false;
  bool by_tcp = false;
  Endpoint from;
};

/// A name server on a port of a stack. `script` says what to reply: any number of messages.
class Server final : public DatagramHandler {
 public:
  using Script = std::function<Messages(const Asked&)>;
  Server(Shard& shard, net::Stack& stack, Port port, Script script)
      : shard_(shard), stack_(stack), port_(port), script_(std::move(script)), scope_(shard) {
    (void)stack_.udp().bind(port_, *this);
    (void)scope_.spawn(serve(shard_, *this));
  }
  ~Server() { stack_.udp().unbind(port_); }
  Scope& scope() { return scope_; }

  void on_burst(std::span<Datagram> datagrams) noexcept override {
    for (Datagram& datagram : datagrams) {
      Message asked;  // a device may deliver a datagram in pieces
      for (const Slice& slice : datagram.payload) asked.insert(asked.end(), slice.bytes().begin(), slice.bytes().end());
      for (const Message& reply : answer(asked, datagram.remote, false)) {
        send(reply, datagram.remote, port_);
      }
    }
  }
  void send(const Message& message, const Endpoint& to, Port from) {
    Datagram out;
    out.local.port = from;
    out.remote = to;
    (void)out.payload.push_back(shard_.buffers().copy(message, header_headroom));
    (void)stack_.udp().send({&out, 1});
  }
  std::vector<Asked> log;

 private:
  Messages answer(Bytes bytes, const Endpoint& from, bool by_tcp) {
    const auto view = wire::DnsView::parse(bytes);
    if (!view || !view->head().question) return {};
    std::array<char, DnsName::maximum_text> text;
    Asked asked{view->head(), {}, view->head().question->type, view->has_edns(), by_tcp, from};
    asked.name.assign(text.data(), view->head().question->name.lower().to_text(text));
    log.push_back(asked);
    return script_(asked);
  }
  static Task<void> serve(Shard&, Server& self) {
    auto listener = self.stack_.tcp().listen(self.port_, {});
    while (listener) {
      auto flow = co_await listener->accept();
      if (!flow) break;
      const auto query = co_await flow->read();
      if (!query || query->empty()) continue;
      for (const Message& reply : self.answer((*query)[0].bytes().subspan(2), flow->peer(), true)) {
        Message framed(2);
        store_big(MutableBytes(framed), 0, static_cast<std::uint16_t>(reply.size()));
        framed.insert(framed.end(), reply.begin(), reply.end());
        // In two pieces: a reader must put them together.
        if (!co_await flow->write(Bytes(framed).first(1))) break;
        co_await sleep(1ms);
        if (!co_await flow->write(Bytes(framed).subspan(1))) break;
      }
    }
  }
  Shard& shard_;
  net::Stack& stack_;
  Port port_;
  Script script_;
  Scope scope_;
};

/// The client's stack with what a network would tell it.
struct LearningStack {
  using Tcp = net::Stack::Tcp;
  using Udp = net::Stack::Udp;
  net::Stack& stack;
  NameService names{};
  [[nodiscard]] Tcp& tcp() noexcept { return stack.tcp(); }
  [[nodiscard]] Udp& udp() noexcept { return stack.udp(); }
  [[nodiscard]] auto& ip() noexcept { return stack.ip(); }
  [[nodiscard]] IpAddress address() noexcept { return stack.address(); }
  [[nodiscard]] Shard& shard() noexcept { return stack.shard(); }
  [[nodiscard]] const NameService& name_service() const noexcept { return names; }
};

struct Testbed {
  explicit Testbed(const ResolverOptions& options = {.name_servers = "10.0.0.1"})
      : server_stack(shard, wire.left(), with_address(1)),
        client_stack(shard, wire.right(), with_address(2)),
        learning{client_stack},
        resolver(shard, learning, options) {
    started = mirage::run(shard, start(*this)).value_or("no memory");
  }
  ~Testbed() {
    for (Server* server : servers) {
      server->scope().cancel();
      (void)mirage::run(shard, join(shard, server->scope()));
      delete server;
    }
  }
  static net::StackOptions with_address(unsigned host) {
    net::StackOptions options;
    options.ipv4 = {Ipv4Address::of(10, 0, 0, host), 24};
    return options;
  }
  static Task<std::string> start(Testbed& bed) {
    if (!co_await bed.server_stack.start() || !co_await bed.client_stack.start()) co_return "no stack";
    const auto up = co_await bed.resolver.start();
    co_return up ? std::string{} : std::string(up.error().text());
  }
  static Task<int> join(Shard&, Scope& scope) {
    co_await scope.join();
    co_return 0;
  }
  Server& serve(Server::Script script, Port port = 53) {
    servers.push_back(new Server(shard, server_stack, port, std::move(script)));
    return *servers.back();
  }
  Result<Records, ResolveError> lookup(std::string_view text, RecordType type = RecordType::a) {
    auto found = mirage::run(shard, resolver.lookup(text, type));
    return found ? std::move(*found) : Result<Records, ResolveError>{Failure{ResolveError::no_memory}};
  }
  void pass(Duration duration) {
    auto wait = [](Shard&, Duration d) -> Task<int> {
      co_await sleep(d);
      co_return 0;
    };
    (void)mirage::run(shard, wait(shard, duration));
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Vnet wire{shard, {.mtu = 1500, .offload = true}};
  net::Stack server_stack;
  net::Stack client_stack;
  LearningStack learning;
  Resolver resolver;
  std::vector<Server*> servers;
  std::string started;
};

}  // namespace mirage::dns::test
