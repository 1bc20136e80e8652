// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cstring>

#include <mirage/async/sleep.hpp>
#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <test/simulator/event.hpp>
#include <test/simulator/workload.hpp>

namespace mirage::simulator {

namespace {

using net::tcp::Flow;

/// The bytes of one direction of one connection: computed, not stored.
class Stream {
 public:
  Stream(std::uint64_t seed, std::uint64_t connection, std::uint64_t direction) noexcept
      : key_(mix(seed) ^ mix(connection << 1 | direction)) {}
  [[nodiscard]] std::byte at(std::uint64_t position) const noexcept {
    return static_cast<std::byte>(mix(key_ + position / 8) >> position % 8 * 8);
  }
  void fill(std::uint64_t position, MutableBytes out) const noexcept {
    std::size_t i = 0;
    while (i < out.size()) {
      std::uint64_t word = mix(key_ + (position + i) / 8) >> (position + i) % 8 * 8;
      const std::size_t count = std::min<std::size_t>(8 - (position + i) % 8, out.size() - i);
      for (std::size_t k = 0; k < count; ++k, word >>= 8) out[i + k] = static_cast<std::byte>(word);
      i += count;
    }
  }
  [[nodiscard]] bool matches(std::uint64_t position, Bytes bytes) const {
    std::array<std::byte, 2048> expected;
    while (!bytes.empty()) {
      const std::size_t count = std::min(bytes.size(), expected.size());
      fill(position, MutableBytes(expected).first(count));
      if (std::memcmp(expected.data(), bytes.data(), count) != 0) return false;
      position += count;
      bytes = bytes.subspan(count);
    }
    return true;
  }

 private:
  std::uint64_t key_;
};

/// One side at work; lives in its coroutine's frame's caller (the Run).
struct Side {
  Shard& shard;
  const SidePlan& plan;
  const SidePlan& other;
  SideResult& result;
  Stream outgoing;
  Stream incoming;
  Random random;
  std::string& wrong;
};

void fail(SideResult& result, FlowError error) noexcept {
  result.failed = true;
  result.error = error;
}

Task<void> write_all(Shard& shard, Flow& flow, Side& side) {
  const std::uint64_t limit =
      side.plan.ending == Ending::abort ? std::min(side.plan.stop_at, side.plan.bytes) : side.plan.bytes;
  std::vector<std::byte> chunk;
  while (side.result.written < limit) {
    const std::uint64_t count = std::min<std::uint64_t>(side.plan.chunk, limit - side.result.written);
    chunk.resize(count);
    side.outgoing.fill(side.result.written, chunk);
    Result<void, FlowError> written;
    if (side.plan.slices) {
      SliceList list;
      for (std::size_t at = 0; at < count && !list.full(); at += 1000) {
        Slice slice = shard.buffers().copy(Bytes(chunk).subspan(at, std::min<std::size_t>(1000, count - at)));
        if (slice.empty()) break;
        (void)list.push_back(std::move(slice));
      }
      const std::size_t size = list.byte_count();
      if (size == 0) {
        if (co_await sleep(10ms) == WaitStatus::cancelled) co_return fail(side.result, FlowError::cancelled);
        continue;  // the pool was exhausted: try again
      }
      written = co_await flow.write(std::move(list));
      if (written) side.result.written += size;
    } else {
      written = co_await flow.write(Bytes(chunk));
      if (written) side.result.written += count;
      if (!written && written.error() == FlowError::no_memory && count <= side.plan.chunk) {
        // A borrowed write may have been taken in part; the peer's check would see bytes twice. So give up here.
      }
    }
    if (!written) co_return fail(side.result, written.error());
  }
  switch (side.plan.ending) {
    case Ending::orderly:
      flow.shutdown();
      break;
    case Ending::close:
      flow.close();
      break;
    case Ending::abort:
      flow.abort();
      break;
  }
}

Task<void> read_all(Shard&, Flow& flow, Side& side) {
  while (true) {
    auto slices = co_await flow.read();
    if (!slices) {
      if (side.plan.ending == Ending::orderly) fail(side.result, slices.error());
      co_return;
    }
    if (slices->empty()) {
      side.result.ended = true;
      co_return;
    }
    for (const Slice& slice : *slices) {
      if (!side.incoming.matches(side.result.read, slice.bytes())) side.wrong = "wrong bytes";
      side.result.read += slice.size();
    }
    if (side.result.read > side.other.bytes) side.wrong = "more bytes than were sent";
    slices->clear();
    if (side.random.chance(side.plan.pause)) {
      (void)co_await sleep(Duration{static_cast<std::int64_t>(
          side.random.between(0, static_cast<std::uint64_t>(side.plan.longest_pause.count())))});
    }
  }
}

Task<void> converse(Shard& shard, Flow flow, Side& side) {
  flow.set_no_delay(side.plan.no_delay);
  // The reset of an abort may get lost; a side that only listens would never know.
  if (side.other.ending != Ending::orderly || side.plan.ending != Ending::orderly) flow.set_keep_alive(60s);
  Scope both{shard};
  bool started = both.spawn(write_all(shard, flow, side));
  started &= both.spawn(read_all(shard, flow, side));
  if (!started) fail(side.result, FlowError::no_memory);
  co_await both.join();
}

Task<void> serve(Shard& shard, Node& node, Port port, Side& side) {
  auto listener = node.stack.tcp().listen(port);
  if (!listener) {
    side.wrong = "cannot listen";
    co_return;
  }
  auto flow = co_await listener->accept();
  if (flow) {
    co_await converse(shard, *std::move(flow), side);
  } else {
    fail(side.result, flow.error());
  }
  side.result.done = true;
}

/// From here on the connections to `port` follow `algorithm`.
void choose(Node& node, Port port, net::tcp::Algorithm algorithm) {
  node.stack.tcp().each_tcb([&](net::tcp::Tcb& tcb) {
    if (tcb.remote.port != port) return;
    tcb.congestion.algorithm = algorithm;
    net::tcp::congestion::establish(tcb, false);
  });
}

Task<void> call(Shard& shard, Node& node, Port port, const ConnectionPlan& plan, Side& side) {
  (void)co_await sleep(plan.start);
  auto flow = co_await node.stack.tcp().connect({.address = Node::address(1), .port = port});
  while (!flow && flow.error() == FlowError::no_memory) {  // refused at a bound: later there may be room
    if (co_await sleep(200ms) == WaitStatus::cancelled) break;
    flow = co_await node.stack.tcp().connect({.address = Node::address(1), .port = port});
  }
  if (flow && plan.congestion) choose(node, port, *plan.congestion);
  if (flow) {
    co_await converse(shard, *std::move(flow), side);
  } else {
    fail(side.result, flow.error());
  }
  side.result.done = true;
}

Task<void> start(Shard&, Node& node, bool& failed) {
  const auto started = co_await node.stack.start();
  if (!started) failed = true;
}

SidePlan plan_side(Random& random, const Limits& limits) {
  SidePlan plan;
  plan.bytes = random.magnitude(limits.bytes);
  plan.slices = random.chance(0.5);
  plan.chunk = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, random.magnitude(plan.slices ? 17'000 : 70'000)));
  if (plan.bytes / plan.chunk > 2'000) plan.chunk = static_cast<std::uint32_t>(plan.bytes / 2'000);
  plan.no_delay = random.chance(0.3);
  if (!limits.orderly && random.chance(0.1)) plan.ending = random.chance(0.5) ? Ending::close : Ending::abort;
  plan.stop_at = random.between(0, plan.bytes);
  if (random.chance(0.4)) {
    plan.pause = static_cast<double>(random.between(1, 30)) / 100;
    plan.longest_pause = Duration{static_cast<std::int64_t>(random.magnitude(2'000'000'000))};
  }
  return plan;
}

NodeOptions plan_node(Random& random) {
  constexpr std::array<std::uint16_t, 5> mtus{576, 1280, 1500, 1500, 9000};
  NodeOptions node;
  node.mtu = mtus[random.between(0, mtus.size() - 1)];
  node.offload = random.chance(0.5);
  node.burst = random.chance(0.5) ? 1 : 32;
  node.shard = {.buffer_bytes = (std::size_t{1} << random.between(20, 24)), .frame_bytes = std::size_t{1} << 20};
  node.tcp.receive_window = static_cast<std::uint32_t>(1) << random.between(12, 19);
  node.tcp.send_buffer = static_cast<std::uint32_t>(1) << random.between(12, 19);
  return node;
}

}  // namespace

Plan make_plan(std::uint64_t seed, const Limits& limits) {
  Random random{seed, 3};
  const auto up_to = [&](double most) { return most * static_cast<double>(random.between(0, 1000)) / 1000; };
  Plan plan;
  plan.faults = {.loss = up_to(limits.loss),
                 .reordering = up_to(limits.reordering),
                 .duplication = up_to(limits.duplication),
                 .corruption = up_to(limits.corruption),
                 .delay = Duration{static_cast<std::int64_t>(random.magnitude(100'000'000))},
                 .jitter = Duration{static_cast<std::int64_t>(random.chance(0.3) ? random.magnitude(20'000'000) : 0)}};
  if (random.chance(0.4)) plan.faults.bytes_per_second = 100'000ULL << random.between(0, 10);
  plan.a = plan_node(random);
  plan.b = plan_node(random);
  plan.b.mtu = plan.a.mtu;  // one cable
  const std::uint64_t count = random.between(1, limits.connections);
  for (std::uint64_t i = 0; i < count; ++i) {
    plan.connections.push_back({.client = plan_side(random, limits),
                                .server = plan_side(random, limits),
                                .start = Duration{static_cast<std::int64_t>(random.magnitude(1'000'000'000))}});
  }
  return plan;
}

namespace {

/// A run in progress: sides outlive the coroutines that refer to them.
class Run {
 public:
  Run(std::uint64_t seed, const Plan& plan, bool show)
      : plan_(plan), world_(seed, plan.faults, plan.a, plan.b), results_(plan.connections.size()) {
    world_.cable.show(show);
    sides_.reserve(2 * results_.size());
    for (std::size_t i = 0; i < results_.size(); ++i) {
      const ConnectionPlan& c = plan.connections[i];
      sides_.push_back({world_.a.shard, c.client, c.server, results_[i].client, Stream{seed, i, 0}, Stream{seed, i, 1},
                        Random{seed, 100 + 2 * i}, out_.wrong});
      sides_.push_back({world_.b.shard, c.server, c.client, results_[i].server, Stream{seed, i, 1}, Stream{seed, i, 0},
                        Random{seed, 101 + 2 * i}, out_.wrong});
    }
  }

  Outcome go() {
    begin();
    if (plan_.cut > Duration{0}) return cut();
    const bool done = world_.run([&] { return !out_.wrong.empty() || all_done(); }, world_.clock.now + time_bound);
    if (!done && out_.wrong.empty()) out_.wrong = "not over within the bound" + unfinished();
    out_.time = world_.clock.now - Time{Duration{1s}};
    if (out_.wrong.empty()) judge();
    end();
    out_.trace = world_.cable.trace();
    out_.frames = world_.cable.frames();
    return out_;
  }

 private:
  /// What each has got between the half of the time and its end.
  Outcome cut() {
    const auto until = [&](Duration time) { (void)world_.run([&] { return !out_.wrong.empty(); }, Time{1s} + time); };
    until(plan_.cut / 2);
    for (const ConnectionResult& result : results_) out_.shares.push_back(result.server.read);
    until(plan_.cut);
    for (std::size_t i = 0; i < results_.size(); ++i) {
      out_.bytes += results_[i].server.read;
      out_.shares[i] = results_[i].server.read - out_.shares[i];
    }
    end();
    return out_;
  }

  void begin() {
    bool failed = false;
    for (Node* node : {&world_.a, &world_.b}) {
      if (!node->scope.spawn(start(node->shard, *node, failed))) out_.wrong = "no task";
    }
    (void)world_.run([&] { return world_.a.scope.running() + world_.b.scope.running() == 0; }, world_.clock.now + 10s);
    for (std::size_t i = 0; i < results_.size(); ++i) {
      const auto port = static_cast<Port>(1000 + i);
      const bool spawned =
          world_.b.scope.spawn(serve(world_.b.shard, world_.b, port, sides_[2 * i + 1])) &&
          world_.a.scope.spawn(call(world_.a.shard, world_.a, port, plan_.connections[i], sides_[2 * i]));
      if (!spawned) out_.wrong = "no task";
    }
    if (failed) out_.wrong = "a stack does not start";
  }

  /// A server whose client never got through, or reset at once, has nobody to wait for.
  [[nodiscard]] bool nobody_came(std::size_t i) const {
    const ConnectionResult& r = results_[i];
    const bool gone = r.client.failed || plan_.connections[i].client.ending != Ending::orderly;
    return gone && r.server.read + r.server.written == 0 && !r.server.failed && !r.server.ended;
  }
  [[nodiscard]] bool all_done() const {
    for (std::size_t i = 0; i < results_.size(); ++i) {
      if (!results_[i].client.done || (!results_[i].server.done && !nobody_came(i))) return false;
    }
    return true;
  }

  [[nodiscard]] std::string unfinished() const {
    std::string text;
    for (std::size_t i = 0; i < results_.size(); ++i) {
      for (const SideResult* side : {&results_[i].client, &results_[i].server}) {
        if (side->done) continue;
        text += "; " + std::string(side == &results_[i].client ? "client " : "server ") + std::to_string(i) +
                " wrote " + std::to_string(side->written) + " read " + std::to_string(side->read) +
                (side->ended ? " ended" : "");
      }
    }
    return text;
  }

  [[nodiscard]] static std::string describe(const SideResult& side) {
    return "wrote " + std::to_string(side.written) + ", read " + std::to_string(side.read) + ", " +
           (side.failed  ? std::string(to_string(side.error))
            : side.ended ? "ended"
                         : "nothing");
  }

  void judge() {
    for (std::size_t i = 0; i < results_.size(); ++i) {
      const ConnectionPlan& plan = plan_.connections[i];
      const ConnectionResult& r = results_[i];
      out_.bytes += r.client.read + r.server.read;
      // The end of a stream says that all of it has arrived.
      if (r.client.ended && r.client.read != r.server.written && plan.server.ending != Ending::abort)
        out_.wrong = "missing bytes at the client";
      if (r.server.ended && r.server.read != r.client.written && plan.client.ending != Ending::abort)
        out_.wrong = "missing bytes at the server";
      if (!plan.orderly()) continue;
      ++out_.orderly;
      const bool complete = r.client.ended && r.server.ended && !r.client.failed && !r.server.failed;
      if (complete) {
        ++out_.complete;
      } else if ((r.client.failed || !r.server.done) && (r.server.failed || !r.server.done)) {
        ++out_.noticed;
        out_.remarks += "connection " + std::to_string(i) + ": client " + describe(r.client) + "; server " +
                        describe(r.server) + ". ";
      } else {
        out_.wrong = "one side failed (" + std::string(to_string(r.client.failed ? r.client.error : r.server.error)) +
                     ") and the other did not notice";
      }
    }
  }

  /// Everything must be gone in the end: TIME-WAIT is over, queues and pools are empty.
  void end() {
    const auto nothing_left = [&] {
      return world_.a.scope.running() + world_.b.scope.running() == 0 &&
             world_.a.stack.tcp().connections() + world_.b.stack.tcp().connections() == 0;
    };
    world_.a.scope.cancel();
    world_.b.scope.cancel();
    const bool gone = world_.run(nothing_left, world_.clock.now + 600s);
    for (int i = 0; i < 100'000 && world_.cable.next() != never; ++i) world_.step();
    for (int i = 0; i < 100; ++i) world_.step();
    if (!out_.wrong.empty()) return;
    const std::string leak = world_.a.leak() + world_.b.leak();
    if (!gone || !leak.empty()) out_.wrong = "left over: " + leak;
  }

  const Plan& plan_;
  Outcome out_;
  World world_;
  std::vector<ConnectionResult> results_;
  std::vector<Side> sides_;
};

}  // namespace

Outcome run(std::uint64_t seed, const Plan& plan, bool restore, bool show) {
  restore_at_events(restore);
  Plan same = plan;  // every idle TCB is packed at once as well
  if (restore) same.a.tcp.working_connections = same.b.tcp.working_connections = 0;
  Outcome outcome = Run{seed, same, show}.go();
  restore_at_events(false);
  return outcome;
}

}  // namespace mirage::simulator
