// SPDX-License-Identifier: ISC
// A scripted peer for tests of connections: what it sends, how slowly, and what it got.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/http/connection.hpp>
#include <mirage/module/ready.hpp>

namespace mirage::http::test {

class TestEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{784111777s}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time deadline) noexcept override {
    REQUIRE(deadline != never);
    now = deadline;
  }
  void write_console(std::string_view) noexcept override {}
  Time now{1s};
};

/// A flow that receives what a test scripted, then the end of the stream (or silence), and collects what is written.
struct Script {
  std::deque<std::string> input;
  std::string output;
  bool silent_at_end = false;
  bool aborted = false;
  Duration took{};
  Duration pause{};         // before each read
  std::size_t at_once = 1;  // pieces that one read brings, if they are there
  std::size_t largest_write = 0;
  std::size_t writes = 0;
  std::size_t peak_buffers = 0;  // bytes, with what was received
  std::size_t unread_at_shutdown = 0;
  std::size_t unread_at_close = 0;
  WaitQueue reading;
};

class ScriptedFlow {
 public:
  ScriptedFlow(Shard& shard, Script& script) noexcept : shard_(&shard), script_(&script) {}
  Task<Result<SliceList, FlowError>> read() {
    while (script_->input.empty() && script_->silent_at_end) {
      if (script_->aborted) co_return Failure{FlowError::reset};
      if (co_await script_->reading.wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
    }
    if (script_->input.empty()) co_return SliceList{};
    if (script_->pause > Duration{0} && co_await sleep(script_->pause) == WaitStatus::cancelled) {
      co_return Failure{FlowError::cancelled};
    }
    SliceList list;
    for (std::size_t i = 0; i < script_->at_once && !script_->input.empty(); ++i) {
      REQUIRE(list.push_back(shard_->buffers().copy(as_bytes(script_->input.front()))));
      script_->input.pop_front();
    }
    co_return list;
  }
  Ready<Result<void, FlowError>> write(SliceList slices) {
    ++script_->writes;
    if (slices.byte_count() > script_->largest_write) script_->largest_write = slices.byte_count();
    for (const Slice& slice : slices) script_->output += slice.text();
    return Ready{Result<void, FlowError>{}};
  }
  Ready<Result<void, FlowError>> write(Bytes bytes) {
    script_->output += as_text(bytes);
    return Ready{Result<void, FlowError>{}};
  }
  void shutdown() noexcept { script_->unread_at_shutdown = script_->input.size(); }
  void close() noexcept { script_->unread_at_close = script_->input.size(); }
  void abort() noexcept {
    script_->aborted = true;
    script_->reading.notify_all();
  }
  Endpoint peer() noexcept { return {}; }
  Endpoint local() noexcept { return {}; }
  std::uint32_t headroom() noexcept { return 0; }
  std::uint32_t tailroom() noexcept { return 0; }
  Shard& shard() noexcept { return *shard_; }

 private:
  Shard* shard_;
  Script* script_;
};
static_assert(Flow<ScriptedFlow>);

template <class H>
std::string converse(H& handler, Script& script, const ServerOptions& options = {}) {
  TestEnvironment environment;
  Shard shard{environment};
  if constexpr (requires { handler.attach(shard); }) handler.attach(shard);
  ServerCounters counters;
  DateCache date;
  {
    auto body = [](Shard& s, Script& sc, H& h, const ServerOptions& o, ServerCounters& c, DateCache& d) -> Task<int> {
      Connection<ScriptedFlow, H> connection{ScriptedFlow{s, sc}, h, o, c, d};
      (void)co_await connection.run();
      co_return 0;
    };
    CHECK(run(shard, body(shard, script, handler, options, counters, date)) == 0);
  }
  script.took = shard.now() - Time{1s};
  script.peak_buffers = shard.buffers().statistics().peak_in_use;
  CHECK(shard.buffers().statistics().bytes_in_use == 0);
  CHECK(shard.frames().statistics().frames == 0);
  CHECK(shard.timers().armed() == 0);
  return script.output;
}

struct Echo {
  Response operator()(const Request& request, Body&) {
    paths.emplace_back(request.path);
    return Response::text(200, "Hello, World!");
  }
  std::vector<std::string> paths;
};

struct CountBody {
  explicit CountBody(Shard& s) : shard_(s) {}
  Shard& shard() { return shard_; }
  Task<Response> operator()(const Request&, Body& body) {
    std::size_t total = 0;
    while (true) {
      auto part = co_await body.read();
      if (!part) co_return Response::text(400, "bad body");
      if (part->empty()) break;
      total += part->byte_count();
    }
    Response response = Response::text(200, "");
    (void)response.headers.add("X-Length", std::uint64_t{total});
    co_return response;
  }
  Shard& shard_;
};

inline std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace mirage::http::test
