// SPDX-License-Identifier: ISC
// How many connections a stack holds in 128 MiB: a whole stack with a small service in this process, against a crowd of
// clients on its device, in virtual time. Counts what the process takes from its allocator.
#include <cstdlib>
#include <deque>
#include <print>
#include <vector>

#include <malloc.h>

#include <mirage/net/stack.hpp>
#include <test/capacity/crowd.hpp>
#include <test/capacity/guest/service.hpp>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/allocator_interface.h>
#define CAPACITY_ASAN 1
#endif
#endif

namespace {

using namespace mirage;
using capacity::Crowd;
using capacity::Phase;

constexpr std::size_t memory = std::size_t{128} << 20;
constexpr std::size_t most_per_connection = 1024;

std::size_t allocated() {
#ifdef CAPACITY_ASAN
  return __sanitizer_get_current_allocated_bytes();
#else
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

class VirtualEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{now.time_since_epoch()}; }
  bool entropy(MutableBytes out) noexcept override {
    for (auto& byte : out) byte = static_cast<std::byte>(seed = seed * 1103515245 + 12345);
    return true;
  }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}
  [[nodiscard]] std::size_t memory() const noexcept override { return ::memory; }
  Time now{Duration{1s}};
  std::uint32_t seed = 1;
};

/// Hands the crowd's frames to the stack and the stack's to the crowd.
class Wire {
 public:
  explicit Wire(BufferPool& pool) : pool_(pool) {
    capabilities_.mac = {{2, 0, 0, 0, 0, 2}};
    capabilities_.gather = true;
  }
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  Wire& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept {
    std::size_t count = 0;
    for (; count < frames.size() && !arriving.empty(); ++count) {
      frames[count] = {};
      (void)frames[count].data.push_back(pool_.copy(arriving.front()));
      arriving.pop_front();
    }
    return count;
  }
  std::size_t send(std::span<TransmitFrame> frames) noexcept {
    for (TransmitFrame& frame : frames) {
      std::vector<std::byte> bytes(frame.header.bytes().begin(), frame.header.bytes().end());
      for (const Slice& slice : frame.payload) bytes.insert(bytes.end(), slice.bytes().begin(), slice.bytes().end());
      sent.push_back(std::move(bytes));
      frame = {};
    }
    return frames.size();
  }
  std::deque<std::vector<std::byte>> arriving;
  std::deque<std::vector<std::byte>> sent;

 private:
  NetCapabilities capabilities_;
  BufferPool& pool_;
};

class Host {
 public:
  explicit Host(std::uint32_t connections)
      : crowd(connections, {{2, 0, 0, 0, 0, 2}},
              [this](Bytes frame) { wire.arriving.emplace_back(frame.begin(), frame.end()); }) {
    (void)scope.spawn(start(*this));
    turns(8);
  }
  ~Host() {
    scope.cancel();
    turns(8);
  }
  /// True when the crowd has done it all; false when nothing moves for four seconds (a new station: ARP drops a few).
  bool run(Phase phase, std::uint32_t count) {
    crowd.start(phase, count);
    std::uint32_t still = 0;
    for (std::uint32_t before = 0; !crowd.finished() && still < 200'000; before = crowd.done()) {
      turns(1);
      still = crowd.done() == before ? still + 1 : 0;
    }
    return crowd.finished();
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) {
      environment.now += 20us;
      (void)shard.turn();
      for (; !wire.sent.empty(); wire.sent.pop_front()) crowd.take(wire.sent.front());
    }
  }
  void pass(Duration duration) {
    environment.now += duration;
    turns(100);
  }

  VirtualEnvironment environment;
  Shard shard{environment};
  Wire wire{shard.buffers()};
  net::Stack stack{shard, wire, net::StackOptions{}};
  Service<net::Stack::Tcp> service{shard, stack.tcp()};
  Scope scope{shard};
  Crowd crowd;

 private:
  static Task<> start(Host& host) {
    if (!co_await host.stack.start()) std::abort();
    co_await host.service.serve();
  }

 public:
  [[nodiscard]] static Shard& shard_of(Host& host) { return host.shard; }
};

bool failed = false;

void demand(bool right, std::string_view what) {
  if (right) return;
  std::println("FAILED: {}", what);
  failed = true;
}

void show(Host& host, std::string_view when, std::size_t before) {
  const std::size_t used = allocated() - before;
  std::println("{:28} {:7} connections, {:5} of them not packed, {:9} bytes, buffers {:7}, frames {:9}", when,
               host.stack.tcp().connections(), host.stack.tcp().working(), used,
               host.shard.buffers().statistics().bytes_in_use, host.shard.frames().statistics().bytes_in_use);
}

void idle(Host& host, std::uint32_t count) {
  const std::size_t before = allocated();
  demand(host.run(Phase::open, count), "all are opened");
  host.pass(2s);
  demand(host.stack.tcp().connections() == count, "all are there");
  show(host, "opened", before);
  demand(host.run(Phase::ask, count), "all are answered");
  host.pass(2s);
  demand(host.crowd.answers == count, "one answer for each");
  show(host, "each asked once", before);
  const std::size_t used = allocated() - before;
  std::println("{:28} {:.1f} bytes for each idle connection, {} armed timers", "", static_cast<double>(used) / count,
               host.shard.timers().armed());
  demand(used / count <= most_per_connection, "at most 1 KiB for each");
  demand(used <= memory, "within 128 MiB");
  demand(host.shard.buffers().statistics().bytes_in_use == 0, "no buffer is held");
  demand(host.shard.timers().armed() < 64, "an idle connection's timer is not armed");
  demand(host.run(Phase::close, count), "all are closed");
  host.pass(200s);
  demand(host.stack.tcp().connections() == 0 && host.shard.frames().statistics().frames <= 2, "none is left");
}

void sequence(Host& host, std::uint32_t count) {
  demand(host.run(Phase::cycle, std::min(count, 10'000U)), "the first cycles");
  host.pass(200s);
  const std::size_t before = allocated();
  host.crowd.answers = 0;
  demand(host.run(Phase::cycle, count), "all cycles");
  show(host, "right after the cycles", before);
  host.pass(200s);
  show(host, "and later", before);
  const net::tcp::Counters& counters = host.stack.tcp().counters();
  std::println("{:28} {} answers, {} resets, {} in TIME-WAIT shortened", "", host.crowd.answers, host.crowd.resets,
               counters.time_wait_shortened);
  demand(host.crowd.answers == count && host.crowd.resets == 0, "each got its answer and none was reset");
  demand(host.stack.tcp().connections() == 0 && host.stack.tcp().slices() == 0, "nothing is left");
  demand(allocated() <= before + 65536, "no byte is lost");
}

}  // namespace

int main(int count, char** values) {
  const auto number = [&](int at, std::uint32_t otherwise) {
    return count > at ? static_cast<std::uint32_t>(std::strtoul(values[at], nullptr, 10)) : otherwise;
  };
  const std::uint32_t connections = number(1, 100'000), cycles = number(2, 1'000'000);
  Host host{connections};
  idle(host, connections);
  if (!failed) sequence(host, cycles);
  const net::tcp::Counters& c = host.stack.tcp().counters();
  std::println("refused: by budget {}, for memory {} and {}, backlog {}, cookies {}; no connection {}, challenges {}",
               c.refused_by_budget, c.work_memory, c.send_no_memory, c.backlog_full, c.cookies_sent, c.no_connection,
               c.challenges);
  demand(c.refused_by_budget + c.work_memory + c.send_no_memory + c.backlog_full == 0, "nothing was refused");
  return failed ? 1 : 0;
}
