// SPDX-License-Identifier: ISC
// The smallest service that keeps its connections: a byte comes, a byte goes; after a 'c' this side closes first. An
// idle connection has one coroutine frame, without room for what will be read.
#pragma once

#include <mirage/async/scope.hpp>
#include <mirage/module/stack.hpp>

template <class Tcp>
struct Service {
  using Flow = typename Tcp::Flow;
  static constexpr mirage::Port port = 7;

  mirage::Shard& shard;
  Tcp& tcp;

  mirage::Task<> serve() { return serve(*this); }

 private:
  static mirage::Task<> serve(Service& self) {
    auto listener = self.tcp.listen(port, {.backlog = 1024});
    if (!listener) co_return;
    mirage::Scope scope{self.shard};
    while (auto flow = co_await listener->accept()) (void)scope.spawn(keep(self.shard, std::move(*flow)));
    scope.cancel();
    co_await scope.join();
  }

  static mirage::Task<> keep(mirage::Shard& shard, Flow flow) {
    while (co_await flow.readable()) {
      if (!co_await answer(shard, flow)) break;
    }
  }

  /// Not inlined: the compiler would make its frame a part of the one that waits.
  [[gnu::noinline]] static mirage::Task<mirage::Result<void, mirage::FlowError>> answer(mirage::Shard&, Flow& flow) {
    const auto asked = co_await flow.read();
    if (!asked) co_return mirage::Failure{asked.error()};
    if (asked->empty()) co_return mirage::Failure{mirage::FlowError::closed};
    const bool last = asked->begin()->text().front() == 'c';
    const auto written = co_await flow.write(mirage::as_bytes("!"));
    if (!written || !last) co_return written;
    co_return mirage::Failure{mirage::FlowError::closed};
  }
};
