// SPDX-License-Identifier: ISC
// What a handler can do beyond one request and one body: trailers, bodies that follow each other, upgrades, routes; and
// what the server tells about it.
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>
#include <mirage/http/mirror_test.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/http/router.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

/// Answers with the body of the request while it arrives, and its trailers behind it.
struct Reflect {
  void attach(Shard& s) { shard = &s; }
  Response operator()(const Request&, Body& body) {
    Response response;
    response.source = std::make_unique<Mirror>(*shard, body);
    return response;
  }
  Shard* shard = nullptr;
};

}  // namespace

TEST_CASE("a body is sent back while it arrives, with its trailers, RFC 9110 section 6.5") {
  const std::string request =
      "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6\r\n world\r\n0\r\nDigest: d\r\nContent-Length: 99\r\nHost: evil\r\nServer-Timing: t\r\n\r\n";
  for (std::size_t piece = 1; piece <= request.size(); piece += piece < 40 ? 1 : 31) {
    Script script;
    for (std::size_t at = 0; at < request.size(); at += piece) script.input.push_back(request.substr(at, piece));
    Reflect mirror;
    const std::string answer = converse(mirror, script);
    CHECK(count(answer, "Transfer-Encoding: chunked\r\n") == 1);
    CHECK(answer.ends_with("0\r\nDigest: d\r\nServer-Timing: t\r\n\r\n"));
  }
  // RFC 9110 section 6.5.1: not to a client that does not say that it takes them.
  Script script;
  script.input = {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                  "1\r\nx\r\n0\r\nDigest: d\r\n\r\n"};
  Reflect mirror;
  CHECK(converse(mirror, script).ends_with("1\r\nx\r\n0\r\n\r\n"));
}

TEST_CASE("the interim response comes before the final one's head, also when a source reads the body") {
  Script script;
  script.input = {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "xyz"};
  Reflect mirror;
  const std::string answer = converse(mirror, script);
  CHECK(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  CHECK(answer.ends_with("\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"));
}

TEST_CASE("no 100 Continue comes behind a final head, whose source may read the body all the same") {
  for (const bool sends : {false, true}) {
    CAPTURE(sends);
    struct Refuse : Reflect {
      Response operator()(const Request& request, Body& body) {
        Response response = Reflect::operator()(request, body);
        response.status = 403;
        return response;
      }
    } handler;
    Script script;
    script.input = {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"};
    if (sends) script.input.emplace_back("xyz");  // RFC 9110 section 10.1.1: it need not wait for ever
    const std::string answer = converse(handler, script);
    CHECK(answer.starts_with("HTTP/1.1 403 "));
    CHECK(count(answer, "HTTP/1.1") == 1);
    CHECK(answer.ends_with("\r\n\r\n3\r\nxyz\r\n0\r\n\r\n") == sends);
  }
}

namespace {

/// Answers each piece with its length, until the stream ends.
struct Lengths final : Upgrade {
  std::string_view protocol() const noexcept override { return "lengths"; }
  Task<Result<void, FlowError>> run(Tunnel& tunnel) noexcept override {
    while (true) {
      const auto got = co_await tunnel.read();
      if (!got) co_return Failure{got.error()};
      if (got->empty()) break;
      const Text<24> text{"<{}>", got->byte_count()};
      const Slice answer = tunnel.shard().buffers().copy(as_bytes(text.view()));
      if (!co_await tunnel.write(SliceList{answer})) co_return Failure{FlowError::reset};
    }
    tunnel.shutdown();
    co_return Result<void, FlowError>{};
  }
};
struct Upgrading {
  Response operator()(const Request&, Body&) {
    Response response;
    response.status = 101;
    (void)response.headers.add("X-More", std::string_view{"y"});
    response.upgrade = std::make_unique<Lengths>();
    return response;
  }
};
struct Unwilling : Upgrading {
  static constexpr bool upgrades = false;
};

}  // namespace

TEST_CASE("an upgrade gets the stream with what was received behind the head, RFC 9110 section 7.8") {
  Upgrading handler;
  Script script;
  script.input = {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other, Lengths\r\n\r\nabc", "defgh"};
  const std::string answer = converse(handler, script);
  CHECK(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lengths\r\n"));
  CHECK(count(answer, "X-More: y\r\n") == 1);
  CHECK(count(answer, "Content-Length") == 0);
  CHECK(answer.ends_with("\r\n\r\n<3><5>"));
}

TEST_CASE("nobody is upgraded by a handler that says that it never does so") {
  Unwilling handler;
  static_assert(may_upgrade<Upgrading>() && !may_upgrade<Unwilling>());
  Script script;
  script.input = {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lengths\r\n\r\n"};
  CHECK(converse(handler, script).starts_with("HTTP/1.1 500 "));
}

TEST_CASE("nobody is upgraded who did not ask for it") {
  for (const std::string_view fields : {"", "Upgrade: lengths\r\n", "Connection: upgrade\r\nUpgrade: length\r\n",
                                        "Connection: upgrade\r\nUpgrade: lengths\r\nContent-Length: 3\r\n"}) {
    Upgrading handler;
    Script script;
    script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\n" + std::string{fields} + "\r\nabc");
    CHECK(converse(handler, script).starts_with("HTTP/1.1 500 "));
  }
}

TEST_CASE("a response may have more header fields than fit in place") {
  struct Many {
    void attach(Shard& s) { shard = &s; }
    Response operator()(const Request&, Body&) {
      Response response = Response::text(200, "ok\n");
      CHECK_FALSE(response.headers.add("X-Large", std::string(600, 'x')));
      CHECK_FALSE(response.headers.enlarge(shard->buffers(), 1 << 20));
      CHECK(response.headers.enlarge(shard->buffers(), 4000));
      CHECK(response.headers.add("X-Large", std::string(3000, 'x')));
      CHECK_FALSE(response.headers.add("X-More", std::string(8000, 'x')));
      return response;
    }
    Shard* shard = nullptr;
  } many;
  Script script;
  script.input = {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"};
  const std::string answer = converse(many, script);
  CHECK(count(answer, "HTTP/1.1 200 OK\r\n") == 2);
  CHECK(count(answer, "X-Large: " + std::string(3000, 'x') + "\r\n") == 2);
  CHECK(count(answer, "Content-Type: text/plain") == 2);
}

TEST_CASE("paths match patterns segment by segment") {
  PathParameters p;
  const auto matches = [&p](std::string_view pattern, std::string_view path) {
    p.clear();
    return match_path(pattern, path, p);
  };
  CHECK(matches("/", "/"));
  CHECK_FALSE(matches("/", "/a"));
  CHECK_FALSE(matches("/a", "/"));
  CHECK_FALSE(matches("/a", "/a/"));
  CHECK(matches("/a/", "/a/"));
  CHECK(matches("/user/{id}", "/user/7"));
  CHECK(p["id"] == "7");
  CHECK(p["none"].empty());
  CHECK_FALSE(matches("/user/{id}", "/user/"));
  CHECK_FALSE(matches("/user/{id}", "/user/7/x"));
  CHECK(matches("/user/{id}/file/{path...}", "/user/7/file/a/b"));
  CHECK(p["path"] == "a/b");
  CHECK(matches("/{path...}", "/"));
  CHECK(p["path"].empty());
  CHECK_FALSE(matches("/{path...}", ""));
  CHECK_FALSE(matches("/a", "*"));
}

namespace {

struct Users {
  void attach(Shard& s) { shard_ = &s; }
  Shard& shard() { return *shard_; }
  Response list(const Request&, const PathParameters&, Body&) { return Response::text(200, "all\n"); }
  Task<Response> store(const Request&, const PathParameters& parameters, Body& body) {
    auto part = co_await body.read();
    if (!part) co_return Response::text(400, "?\n");
    Response response = Response::text(201, "");
    (void)response.headers.add("X-Name", parameters["name"]);
    (void)response.headers.add("X-Size", std::uint64_t{part->byte_count()});
    co_return response;
  }
  Task<Response> operator()(const Request& request, Body& body) {
    static constexpr std::array table{Route<Users>{Method::get, "/user", &Users::list},
                                      Route<Users>{Method::put, "/user/{name}", &Users::store},
                                      Route<Users>{Method::delete_, "/user/{name}", &Users::list}};
    router.emplace(*this, std::span<const Route<Users>>{table});
    co_return co_await (*router)(request, body);
  }
  Shard* shard_ = nullptr;
  std::optional<Router<Users>> router;
};

std::string route(std::string_view line, std::string_view rest = "") {
  Users users;
  Script script;
  script.input.emplace_back(std::string{line} + " HTTP/1.1\r\nHost: a\r\n" + std::string{rest} + "\r\nxyz");
  return converse(users, script);
}

}  // namespace

TEST_CASE("a router answers 404, 405 with Allow, OPTIONS and HEAD by its table") {
  CHECK(route("GET /user").starts_with("HTTP/1.1 200 "));
  const std::string head = route("HEAD /user");
  CHECK(count(head, "Content-Length: 4\r\n") == 1);
  CHECK(count(head, "all") == 0);
  const std::string stored = route("PUT /user/J%C3%BCrg", "Content-Length: 3\r\n");
  CHECK(count(stored, "X-Name: J\xc3\xbcrg\r\n") == 1);
  CHECK(count(stored, "X-Size: 3\r\n") == 1);
  CHECK(route("GET /users").starts_with("HTTP/1.1 404 "));
  CHECK(route("GET /user%2fx").starts_with("HTTP/1.1 400 "));
  // RFC 9110 section 15.5.6
  const std::string refused = route("POST /user/x", "Content-Length: 3\r\n");
  CHECK(refused.starts_with("HTTP/1.1 405 "));
  CHECK(count(refused, "Allow: PUT, DELETE, OPTIONS\r\n") == 1);
  // RFC 9110 section 9.3.7
  const std::string options = route("OPTIONS /user");
  CHECK(options.starts_with("HTTP/1.1 204 "));
  CHECK(count(options, "Allow: GET, HEAD, OPTIONS\r\n") == 1);
  const std::string all = route("OPTIONS *");
  CHECK(all.starts_with("HTTP/1.1 204 "));
  CHECK(count(all, "Allow: GET, HEAD, PUT, DELETE, OPTIONS\r\n") == 1);
}

namespace {

struct Kept final : AccessLog {
  void record(const AccessRecord& record) noexcept override {
    for (const AccessFormat format : {AccessFormat::common, AccessFormat::combined, AccessFormat::fields}) {
      Text<512> line;
      append_access(line.writer(), record, format);
      lines.emplace_back(line.view());
    }
  }
  std::vector<std::string> lines;
};

}  // namespace

TEST_CASE("each answer is told to the access log, and clients cannot write its lines") {
  Echo echo;
  Kept kept;
  Script script;
  script.input.emplace_back(
      "GET /a\"b\xff HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\nUser-Agent: x\\y\"z\r\n\r\nGET / HTTP/1.1\r\n\r\n");
  converse(echo, script, {.listen = {}, .access_log = &kept});
  REQUIRE(kept.lines.size() == 6);
  const std::string common = R"(:: - - [06/Nov/1994:08:49:37 +0000] "GET /a\x22b\xff HTTP/1.1" 200 13)";
  CHECK(kept.lines[0] == common);
  CHECK(kept.lines[1] == common + R"( "http://r/" "x\x5cy\x22z")");
  CHECK(kept.lines[2].starts_with(R"(peer=:: method=GET target="/a\x22b\xff" version=HTTP/1.1 status=200 bytes=13 )"));
  CHECK(kept.lines[2].ends_with(R"(referer="http://r/" agent="x\x5cy\x22z")"));
  CHECK(kept.lines[3] == R"(:: - - [06/Nov/1994:08:49:37 +0000] "-" 400 16)");
}

namespace {

/// Its first piece comes late.
struct Slowly final : BodySource {
  explicit Slowly(Shard& s) : shard_(s) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    if (std::exchange(done, true)) co_return SliceList{};
    (void)co_await sleep(30s);
    co_return SliceList{Slice::from_static(std::string_view{"event"})};
  }
  Shard& shard_;
  bool done = false;
};
struct Events {
  Shard& shard() { return shard_; }
  Response operator()(const Request& request, Body&) {
    if (request.path != "/events") return Response::text(200, "quick");
    Response response;
    response.source = std::make_unique<Slowly>(shard_);
    return response;
  }
  Shard& shard_;
};

}  // namespace

TEST_CASE("a head, and the answers in front of it, do not wait for a body that comes late") {
  TestEnvironment environment;
  Shard shard{environment};
  Events events{shard};
  Script script;
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /events HTTP/1.1\r\nHost: a\r\n\r\n");
  auto body = [](Shard& s, Events& handler, Script& sc) -> Task<int> {
    ServerOptions options;
    ServerCounters counters;
    DateCache date;
    using C = Connection<ScriptedFlow, Events>;
    C connection{ScriptedFlow{s, sc}, handler, options, counters, date};
    Scope scope{s};
    auto serve = [](Shard&, C& c) -> Task<void> { (void)co_await c.run(); };
    REQUIRE(scope.spawn(serve(s, connection)));
    co_await sleep(5s);
    CHECK(count(sc.output, "quick") == 1);
    CHECK(count(sc.output, "Transfer-Encoding: chunked") == 1);
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, events, script)) == 0);
  CHECK(count(script.output, "event") == 1);
}

TEST_CASE("answers do not wait for a later one whose handler has to wait") {
  TestEnvironment environment;
  Shard shard{environment};
  struct Sleepy {
    Shard& shard() { return shard_; }
    Task<Response> operator()(const Request& request, Body&) {
      if (request.path == "/later") (void)co_await sleep(30s);
      co_return Response::text(200, "said");
    }
    Shard& shard_;
  } sleepy{shard};
  Script script;
  const std::string at_once = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  script.input.emplace_back(at_once + at_once + "GET /later HTTP/1.1\r\nHost: a\r\n\r\n" + at_once);
  auto body = [](Shard& s, Sleepy& handler, Script& sc) -> Task<int> {
    ServerOptions options;
    ServerCounters counters;
    DateCache date;
    Connection<ScriptedFlow, Sleepy> connection{ScriptedFlow{s, sc}, handler, options, counters, date};
    Scope scope{s};
    auto serve = [](Shard&, decltype(connection)& c) -> Task<void> { (void)co_await c.run(); };
    REQUIRE(scope.spawn(serve(s, connection)));
    co_await sleep(5s);
    CHECK(count(sc.output, "said") == 2);
    CHECK(sc.writes == 1);
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, sleepy, script)) == 0);
  CHECK(count(script.output, "said") == 4);
  CHECK(script.writes == 2);
}

TEST_CASE("answers that are there at once leave together, the first piece of a stream with its head") {
  struct Now final : BodySource {
    explicit Now(Shard& s) : shard_(s) {}
    Shard& shard() { return shard_; }
    Task<Result<SliceList, BodyError>> next() noexcept override {
      co_return std::exchange(done, true) ? SliceList{} : SliceList{Slice::from_static(std::string_view{"piece"})};
    }
    Shard& shard_;
    bool done = false;
  };
  struct Handler {
    void attach(Shard& s) { shard_ = &s; }
    Shard& shard() { return *shard_; }
    Task<Response> operator()(const Request& request, Body&) {
      Response response = Response::text(200, "said");
      if (request.path == "/stream") response.source = std::make_unique<Now>(*shard_);
      co_return response;
    }
    Shard* shard_ = nullptr;
  } handler;
  Script script;
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string answer = converse(handler, script);
  CHECK(count(answer, "said") == 1);
  CHECK(answer.ends_with("piece\r\n0\r\n\r\n"));
  CHECK(script.writes == 2);  // the last chunk goes out with what follows
}

namespace {

const std::string much(30'000, 'x');

/// Reads a body in a task of its own while its answer, of two late pieces, goes out.
struct Both final : BodySource {
  Both(Shard& s, Body& b) : shard_(s), body(b), scope(s) { REQUIRE(scope.spawn(take(*this))); }
  Shard& shard() { return shard_; }
  static Task<void> take(Both& self) {
    while (true) {
      const auto part = co_await self.body.read();
      if (!part || part->empty()) co_return;
    }
  }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    if (pieces == 2) co_return SliceList{};
    (void)co_await sleep(1s);
    ++pieces;
    co_return SliceList{Slice::from_static(std::string_view{"<piece>"})};
  }
  Scope* stop() noexcept override {
    scope.cancel();
    return &scope;
  }
  Shard& shard_;
  Body& body;
  Scope scope;
  int pieces = 0;
};
struct Mixed {
  Shard& shard() { return shard_; }
  Response operator()(const Request& request, Body& body) {
    Response response;
    if (request.method == Method::get) response.body = SliceList{Slice::from_static(std::string_view{much})};
    if (request.method != Method::get) response.source = std::make_unique<Both>(shard_, body);
    return response;
  }
  Shard& shard_;
};

/// A connection that is served at one end of a wire; the client has the other.
template <class App>
struct Served {
  Served(Shard& shard, App& app)
      : connection(PipeFlow{shard, wire, 1}, app, options, counters, date), scope(shard), client(shard, wire, 0) {
    REQUIRE(scope.spawn(serve(shard, connection)));
  }
  static Task<void> serve(Shard&, Connection<PipeFlow, App>& to) { (void)co_await to.run(); }
  std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  ServerOptions options;
  ServerCounters counters;
  DateCache date;
  Connection<PipeFlow, App> connection;
  Scope scope;
  PipeFlow client;
};

}  // namespace

TEST_CASE("one task writes at a time, also when a body is read while answers go out") {
  TestEnvironment environment;
  Shard shard{environment};
  Mixed handler{shard};
  auto body = [](Shard& s, Mixed& app) -> Task<int> {
    Served served{s, app};
    CHECK(co_await served.client.write(SliceList{Slice::from_static(std::string_view{
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"})}));
    co_await sleep(1500ms);  // takes nothing meanwhile
    CHECK(co_await served.client.write(SliceList{Slice::from_static(std::string_view{"body"})}));
    std::string answer;
    while (!answer.ends_with("\r\n0\r\n\r\n")) {
      const auto got = co_await within(10s, served.client.read());
      if (!got || !*got || (*got)->empty()) break;
      for (const Slice& slice : **got) answer += slice.text();
    }
    CHECK(count(answer, "\r\n\r\n" + much + "HTTP/1.1 200 ") == 1);
    CHECK(served.wire->pipes[1].most_writers == 1);
    CHECK(answer.ends_with("\r\n\r\n7\r\n<piece>\r\n7\r\n<piece>\r\n0\r\n\r\n"));
    served.client.close();
    co_await served.scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, handler)) == 0);
}

TEST_CASE("100 Continue goes out when the body is read, though the handler has waited for something else first") {
  TestEnvironment environment;
  Shard shard{environment};
  struct Late {
    Shard& shard() { return shard_; }
    Task<Response> operator()(const Request&, Body& body) {
      (void)co_await sleep(1s);
      const auto part = co_await body.read();
      co_return Response::text(200, part && part->byte_count() == 4 ? "taken" : "not taken");
    }
    Shard& shard_;
  } late{shard};
  auto body = [](Shard& s, Late& app) -> Task<int> {
    Served served{s, app};
    const std::string_view request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    CHECK(co_await served.client.write(SliceList{Slice::from_static(request)}));
    const auto word = co_await within(2s, served.client.read());
    CHECK((word && *word && (*word)->byte_count() == 25));
    CHECK(co_await served.client.write(SliceList{Slice::from_static(std::string_view{"body"})}));
    const auto answer = co_await within(2s, served.client.read());
    CHECK((answer && *answer && !(*answer)->empty() && (**answer)[0].text().ends_with("taken")));
    served.client.close();
    co_await served.scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, late)) == 0);
}

TEST_CASE("no target makes its answer's status vanish from the log's line") {
  Echo echo;
  struct Lines final : AccessLog {
    void record(const AccessRecord& record) noexcept override {
      for (const AccessFormat format : {AccessFormat::common, AccessFormat::combined, AccessFormat::fields}) {
        Text<Log::maximum_line> line;
        append_access(line.writer(), record, format);
        lines.emplace_back(line.view());
      }
    }
    std::vector<std::string> lines;
  } kept;
  Script script;
  script.input.emplace_back("GET /" + std::string(200, '\xff') + " HTTP/1.1\r\nHost: a\r\n\r\n");
  script.input.emplace_back(std::string(300, 'M') + " /" + std::string(4000, 'p') +
                            " HTTP/1.1\r\nHost: a\r\nReferer: " + std::string(300, '"') +
                            "\r\nUser-Agent: " + std::string(300, '"') + "\r\n\r\n");
  converse(echo, script, {.listen = {}, .access_log = &kept});
  REQUIRE(kept.lines.size() == 6);
  CHECK(count(kept.lines[0], R"(\xff HTTP/1.1" 200 13)") == 1);
  CHECK(count(kept.lines[0], R"(\xff)") == 64);
  CHECK(count(kept.lines[3], R"(pp HTTP/1.1" 200 13)") == 1);
  CHECK(count(kept.lines[4], R"( HTTP/1.1" 200 13 "\x22)") == 1);
  CHECK(count(kept.lines[5], R"(p" version=HTTP/1.1 status=200 bytes=13)") == 1);
  CHECK(count(kept.lines[0], " 200 13") == 1);
  CHECK(count(kept.lines[1], " 200 13") == 1);
  CHECK(count(kept.lines[2], "status=200 bytes=13") == 1);
}
