// SPDX-License-Identifier: ISC
// What live.py talks to, on the host's sockets:
// - http_service serve PORT NAME: a site with a router, streamed bodies, compression and a WebSocket that echoes
// - http_service balance PORT BACKENDS: a load balancer in front of such sites
// - http_service fetch URL [NAME-SERVER]: writes the body, decoded
// - http_service chat URL COUNT: sends COUNT messages to a WebSocket that echoes, and closes it
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/dns/connect.hpp>
#include <mirage/dns/resolver.hpp>
#include <mirage/http/client.hpp>
#include <mirage/http/compress/decoder.hpp>
#include <mirage/http/compress/handler.hpp>
#include <mirage/http/h2/server.hpp>
#include <mirage/http/mirror_test.hpp>
#include <mirage/http/proxy.hpp>
#include <mirage/http/router.hpp>
#include <mirage/http/server.hpp>
#include <mirage/http/websocket/open.hpp>
#include <mirage/module/connector.hpp>
#include <mirage/target/unix/socket_stack.hpp>

using namespace mirage;
using namespace mirage::http;
using target::posix::SocketStack;
using target::posix::SocketTcp;

namespace {

struct EchoSession {
  Shard& shard;
  Task<Result<void, websocket::Error>> operator()(websocket::Session& session) {
    bool first = true;
    while (true) {
      auto part = co_await session.receive_part();
      if (!part) co_return Failure{part.error()};
      MIRAGE_CO_CHECK(co_await session.send_part(part->kind, SliceList{std::move(part->data)}, first, part->final));
      first = part->final;
    }
  }
};

class Site {
 public:
  Site(Shard& shard, std::string_view name) noexcept : shard_(shard), name_(name) {}
  Shard& shard() noexcept { return shard_; }
  Response who(const Request&, const PathParameters&, Body&) {
    Response response = Response::text(200, "hello\n");
    (void)response.headers.add("X-Name", name_);
    return response;
  }
  Response mirror(const Request&, const PathParameters&, Body& body) {
    Response response;
    response.source = std::make_unique<test::Mirror>(shard_, body);
    return response;
  }
  Response page(const Request&, const PathParameters&, Body&) { return Response::text(200, page_, "text/html"); }
  Response user(const Request&, const PathParameters& parameters, Body&) {
    Response response = Response::text(200, "user\n");
    (void)response.headers.add("X-Id", parameters["id"]);
    return response;
  }
  Response move(const Request&, const PathParameters&, Body&) {
    Response response = Response::text(302, "there\n");
    (void)response.headers.add("Location", std::string_view{"../user/7"});
    return response;
  }
  Response chat(const Request& request, const PathParameters&, Body&) {
    websocket::Options options{.maximum_message = UINT64_MAX};
    return websocket::accept(request, std::make_unique<websocket::Upgraded<EchoSession>>(EchoSession{shard_}, options));
  }
  static constexpr std::array table{
      Route<Site>{Method::get, "/", &Site::who},          Route<Site>{Method::post, "/mirror", &Site::mirror},
      Route<Site>{Method::put, "/mirror", &Site::mirror}, Route<Site>{Method::get, "/user/{id}", &Site::user},
      Route<Site>{Method::get, "/moved/x", &Site::move},  Route<Site>{Method::get, "/chat", &Site::chat},
      Route<Site>{Method::get, "/page", &Site::page}};

 private:
  static std::string make_page() {
    std::string text;
    for (int i = 0; i < 10'000; ++i) text += "<p>line " + std::to_string(i) + "</p>\n";
    return text;
  }
  Shard& shard_;
  std::string_view name_;
  std::string page_ = make_page();
};

Task<int> serve(SocketStack& stack, Port port, std::string_view name) {
  Site site{stack.shard(), name};
  Router<Site> router{site, Site::table};
  LoggedAccess access{stack.shard().logger("access"), AccessFormat::combined};
  using Handler = compress::Compressed<Router<Site>>;
  Handler handler{stack.shard(), router};
  h2::Server<SocketTcp, Handler> server{
      stack.shard(), stack.tcp(), handler, {.maximum_body = UINT64_MAX, .listen = {}, .access_log = &access}};
  co_return co_await server.serve(port) ? 0 : 1;
}

Task<int> balance(SocketStack& stack, Port port, std::string_view list) {
  Backends backends;
  if (!backends.parse(list)) co_return 2;
  ProxyOptions options;
  options.check_interval = 200ms;
  Proxy<SocketTcp> proxy{stack.shard(), stack.tcp(), backends, options};
  Server<SocketTcp, Proxy<SocketTcp>> server{
      stack.shard(), stack.tcp(), proxy, {.maximum_body = UINT64_MAX, .listen = {}}};
  Scope checks{stack.shard()};
  if (!checks.spawn(proxy.check_health())) co_return 1;
  const auto served = co_await server.serve(port);
  checks.cancel();
  co_await checks.join();
  co_return served ? 0 : 1;
}

/// `name_server`: whom to ask for names, "ADDRESS:PORT".
Task<int> fetch(SocketStack& stack, std::string_view url, std::string_view name_server) {
  dns::Resolver resolver{stack.shard(), stack, {.name_servers = name_server}};
  if (!co_await resolver.start()) co_return 1;
  dns::Connector names{stack, resolver};
  using Plain = Client<decltype(names)>;
  Plain plain{stack.shard(), names};
  compress::DecodingClient<Plain> client{plain};
  auto response = co_await client.fetch(url);
  if (!response) {
    const std::string_view why = to_string(response.error());
    std::fprintf(stderr, "%.*s\n", static_cast<int>(why.size()), why.data());
    co_return 1;
  }
  while (true) {
    const auto part = co_await response->body().read();
    if (!part) co_return 1;
    if (part->empty()) break;
    for (const Slice& slice : *part) std::fwrite(slice.data(), 1, slice.size(), stdout);
  }
  std::fflush(stdout);
  co_return response->status() / 100;
}

Task<int> chat(SocketStack& stack, std::string_view url, int count) {
  AddressConnector addresses{stack.shard(), stack.tcp()};
  Client client{stack.shard(), addresses};
  auto response = co_await websocket::open(client, url);
  if (!response) co_return 3;
  websocket::Session session{response->tunnel(), websocket::Role::client};
  const std::string text(1000, 'm');
  for (int i = 0; i < count; ++i) {
    SliceList data{Slice::from_static(std::string_view{text}.substr(0, static_cast<std::size_t>(i % 1000)))};
    if (!co_await session.send(i % 2 == 0 ? websocket::Kind::text : websocket::Kind::binary, data)) co_return 4;
    const auto answer = co_await session.receive();
    if (!answer || answer->data.size() != static_cast<std::size_t>(i % 1000)) co_return 5;
  }
  if (!co_await session.close(1000, "done")) co_return 6;
  const auto end = co_await session.receive();
  co_return end.error_or(websocket::Error::protocol) == websocket::Error::closed&& session.close_code() == 1000 ? 0 : 7;
}

Task<int> start(SocketStack& stack, std::string_view command, std::string_view first, std::string_view second) {
  if (!co_await stack.start()) co_return 1;
  unsigned number = 0;
  const std::string_view digits = command == "chat" ? second : first;
  (void)std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (command == "serve") co_return co_await serve(stack, static_cast<Port>(number), second);
  if (command == "balance") co_return co_await balance(stack, static_cast<Port>(number), second);
  if (command == "fetch") co_return co_await fetch(stack, first, second);
  if (command == "chat") co_return co_await chat(stack, first, static_cast<int>(number));
  co_return 2;
}

}  // namespace

int main(int count, char** words) {
  target::posix::Environment environment;
  Shard shard{environment};
  if (count < 3 || !shard.seed_random()) return 2;
  // Who fetches may find a host by IPv6.
  SocketStack stack{shard, std::string_view{words[1]} == "fetch" ? IpAddress{} : Ipv4Address::of(127, 0, 0, 1)};
  return run(shard, start(stack, words[1], words[2], count > 3 ? words[3] : "")).value_or(1);
}
