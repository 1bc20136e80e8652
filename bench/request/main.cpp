// SPDX-License-Identifier: ISC
// usage: bench_request hello|file|new CONNECTIONS DEPTH REQUESTS
//
// Serves requests over a wire in memory: an answer of 13 bytes, a file of 100 KiB, or 13 bytes on a connection of its
// own. DEPTH requests come in one segment. What the server does stands below bench_serve(), so that callgrind counts
// that alone and the same each time:
//   valgrind --tool=callgrind --toggle-collect=bench_serve bench_request hello 16 1 5000
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <bench/request/client.hpp>

#include <mirage/async/scope.hpp>
#include <mirage/http/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/net/stack.hpp>
#include <mirage/store/crunch/crunch.hpp>

/// Of compiler-rt, where the program records a profile: the path is LLVM_PROFILE_FILE.
extern "C" [[gnu::weak]] int __llvm_profile_write_file();

extern "C" [[gnu::noinline]] bool bench_serve(mirage::Shard& shard) { return shard.turn(); }

namespace bench {

namespace {

using namespace mirage;

class World final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{now.time_since_epoch()}; }
  bool entropy(MutableBytes out) noexcept override {
    for (std::byte& byte : out) byte = static_cast<std::byte>(seed = seed * 1103515245 + 12345);
    return true;
  }
  void wait(Time) noexcept override {}
  void write_console(std::string_view text) noexcept override { std::fwrite(text.data(), 1, text.size(), stderr); }
  Time now{Duration{1s}};
  std::uint32_t seed = 1;
};

struct Hello {
  http::Response operator()(const http::Request&, http::Body&) const noexcept {
    return http::Response::text(200, "Hello, world!");
  }
};

constexpr std::array<std::byte, std::size_t{100} * 1024> content{};
constexpr std::array<CrunchFile, 1> files{{{"100k.bin", "application/octet-stream", "0123456789abcdef", content}}};
constexpr CrunchTable table{files};

template <class Server>
Task<> serve(Server& server, Port port) {
  (void)co_await server.serve(port);
}

struct System {
  World world;
  Shard shard{world, {.buffer_bytes = std::size_t{16} << 20, .frame_bytes = std::size_t{8} << 20}};
  Wire wire{shard};
  net::Stack stack{shard, wire, net::StackOptions{}};
  store::Crunch store{shard, table};
  Hello hello;
  http::Site<store::Crunch> site{shard, store};
  http::Server<net::tcp::Tcp, Hello> hello_server{shard, stack.tcp(), hello};
  http::Server<net::tcp::Tcp, http::Site<store::Crunch>> site_server{shard, stack.tcp(), site};
  Scope scope{shard};
};

Task<> start(System& system, Shard&) {
  if (!co_await system.stack.start()) std::abort();
  (void)system.scope.spawn(serve(system.hello_server, 80));
  (void)system.scope.spawn(serve(system.site_server, 81));
}

/// Turns until `answers` have come; those that something was left to do after count as others.
void run(System& system, Client& client, std::uint64_t answers) {
  while (client.answers() < answers && !client.failed()) {
    system.world.now += Duration{20us};
    while (bench_serve(system.shard)) {
    }
    client.run();
  }
}

int main(std::string_view mode, std::size_t connections, std::size_t depth, std::uint64_t requests) {
  Load load{.connections = connections, .depth = depth, .request = "GET / HTTP/1.1\r\nHost: 10.0.0.2:80\r\n\r\n"};
  if (mode == "file") {
    load.port = 81;
    load.request = "GET /100k.bin HTTP/1.1\r\nHost: 10.0.0.2:81\r\n\r\n";
  } else if (mode == "new") {
    load.closes = true;
    load.request = "GET / HTTP/1.1\r\nConnection: close\r\nHost: 10.0.0.2\r\n\r\n";
  }
  const auto system = std::make_unique<System>();
  const auto client = std::make_unique<Client>(system->wire, load);
  (void)system->scope.spawn(start(*system, system->shard));
  for (int i = 0; i < 8; ++i) (void)system->shard.turn();
  client->introduce();
  for (int i = 0; i < 8; ++i) (void)system->shard.turn();
  client->run();
  client->connect();
  const Wire::Calls before = system->wire.calls;
  run(*system, *client, requests);
  const Wire::Calls& calls = system->wire.calls;
  const auto each = [&](std::uint64_t from, std::uint64_t to) {
    return static_cast<double>(to - from) / static_cast<double>(client->answers());
  };
  std::printf("answers %llu, for each frames in %.3f out %.3f, empty reads %.3f%s\n",
              static_cast<unsigned long long>(client->answers()), each(before.in, calls.in),
              each(before.out, calls.out), each(before.empty, calls.empty), client->failed() ? ", FAILED" : "");
  std::fflush(stdout);
  if (&__llvm_profile_write_file != nullptr) (void)__llvm_profile_write_file();
  std::_Exit(client->failed() ? 1 : 0);  // with connections open: nothing is to be taken down
}

}  // namespace

}  // namespace bench

int main(int count, char** values) {
  const auto number = [&](int at, unsigned long otherwise) {
    return count > at ? std::strtoul(values[at], nullptr, 10) : otherwise;
  };
  const std::string_view mode = count > 1 ? values[1] : "";
  if ((mode != "hello" && mode != "file" && mode != "new") || number(2, 1) == 0 || number(3, 1) == 0) {
    std::fputs("usage: bench_request hello|file|new CONNECTIONS DEPTH REQUESTS\n", stderr);
    return 2;
  }
  return bench::main(mode, number(2, 16), number(3, 1), number(4, 5000));
}
