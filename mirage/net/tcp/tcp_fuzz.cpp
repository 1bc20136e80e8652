// SPDX-License-Identifier: ISC
// A connection under any sequence of segments, calls and time. Input: records of one operation byte and its arguments;
// sequence numbers are distances from the connection's own, for a blind fuzzer would never hit its window. The peer's
// text at a position is always the same, so whatever is delivered can be checked. After every step the invariants of
// the TCB hold, and at the end nothing is left over.
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <source_location>
#include <vector>

#include <mirage/net/tcp/bench_test.hpp>

namespace mirage::net::tcp {

namespace {

void require(bool condition, std::source_location where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "broken: line %u\n", where.line());
  std::abort();
}

/// The peer's byte at a position of its stream.
std::byte text_at(std::uint32_t position) noexcept { return static_cast<std::byte>(position * 31 + (position >> 8)); }

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) noexcept : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  std::uint8_t byte() noexcept { return size_ == 0 ? 0 : (--size_, *data_++); }
  std::uint16_t word() noexcept { return static_cast<std::uint16_t>(byte() << 8 | byte()); }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

constexpr std::uint32_t initial = 0xffffff00;  // wraps soon

class FuzzBench : public test::Bench {
 public:
  FuzzBench() : Bench({.receive_window = 16384, .send_buffer = 16384}) {
    ip.capabilities_.maximum_frame = 65550;
    ip.capabilities_.transmit_checksum = ip.capabilities_.segment_tcp4 = true;
  }
  void text(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement, std::uint16_t window,
            std::uint32_t length, Bytes options) {
    std::vector<std::byte> payload(length);
    for (std::uint32_t i = 0; i < length; ++i) payload[i] = text_at(sequence + i - initial - 1);
    arrive({.flags = flags,
            .sequence = sequence,
            .acknowledgement = acknowledgement,
            .window = window,
            .payload = payload,
            .options = options});
  }
  void step() {
    Bench::step();
    tcp.each_tcb([](const Tcb& tcb) { check(tcb); });
    for (const test::SentSegment& segment : ip.sent) {
      require(!segment.options.malformed);
      require(segment.payload.size() <= (segment.offload.segment_size != 0 ? 65535U : 1460U));
    }
    if (!ip.sent.empty()) ip.sent.erase(ip.sent.begin(), ip.sent.end() - 1);
  }
  static void check(const Tcb& tcb) {
    const SendVariables& s = tcb.send;
    const ReceiveVariables& r = tcb.receive;
    require(s.unacknowledged <= s.next && s.next <= s.maximum && s.maximum <= s.end + 1);
    require(r.next <= r.edge && (r.ranges.empty() || r.ranges.items[0].begin > r.next));
    for (std::size_t i = 1; i < r.ranges.count; ++i) require(r.ranges.items[i - 1].end < r.ranges.items[i].begin);
    require(tcb.state != State::closed);
    require(tcb.congestion.window > 0);
    const Scoreboard& b = tcb.loss.board;
    if (synchronised(tcb.state)) require(b.base == s.unacknowledged && b.end() == s.next);
    require(b.sacked + b.lost <= distance(b.base, b.end()));
    // Whatever is unfinished has a timer: no connection waits for ever for nothing.
    if (s.unacknowledged < s.maximum) require(tcb.deadlines.retransmit != never);
  }
};

/// The application: reads and compares.
void read(Flow& flow, std::uint32_t& position) {
  auto awaiter = flow.read();
  if (!awaiter.await_ready()) return;
  const auto slices = awaiter.await_resume();
  if (!slices) return;
  for (const Slice& slice : *slices) {
    for (const std::byte byte : slice.bytes()) require(byte == text_at(position++));
  }
}

void write(Flow& flow, std::size_t size) {
  const std::vector<std::byte> bytes(size, std::byte{7});
  auto awaiter = flow.write(Bytes(bytes));
  if (awaiter.await_ready()) (void)awaiter.await_resume();
}

void segment(FuzzBench& bench, Input& in) {
  std::uint32_t next = initial + 1;
  std::uint32_t una = 0;
  bench.tcp.each_tcb([&](const Tcb& tcb) {
    next = tcb.receive.next.value;
    una = tcb.send.unacknowledged.value;
  });
  const std::uint8_t flags = in.byte();
  const auto sequence = next + static_cast<std::uint32_t>(static_cast<std::int16_t>(in.word()));
  const auto acknowledgement = una + static_cast<std::uint32_t>(static_cast<std::int16_t>(in.word()));
  const std::uint16_t window = in.word();
  const std::uint32_t length = in.word() % 3000;
  std::vector<std::byte> options(in.byte() % 11 * 4);
  for (auto& byte : options) byte = static_cast<std::byte>(in.byte());
  bench.text(flags, sequence, acknowledgement, window, length, options);
}

void operate(FuzzBench& bench, Flow& flow, Input& in, std::uint32_t& position) {
  switch (in.byte() % 12) {
    case 0:
      bench.environment.now += std::chrono::milliseconds{in.word()};
      break;
    case 1:
      read(flow, position);
      break;
    case 2:
      write(flow, in.word() % 20000);
      break;
    case 3:
      flow.shutdown();
      break;
    case 4:
      flow.set_no_delay((in.byte() & 1) != 0);
      break;
    case 5:
      bench.ip.full = (in.byte() & 1) != 0;
      break;
    case 6:
      flow.set_keep_alive(std::chrono::seconds{in.byte()});
      break;
    case 7:
      if (in.byte() > 250) flow.close();
      break;
    case 8:
      if (in.byte() > 253) flow.abort();
      break;
    default:
      segment(bench, in);
  }
  bench.step();
}

void fuzz(Input in) {
  FuzzBench bench;
  auto listener = bench.tcp.listen(7);
  require(listener.has_value());
  const std::byte options[] = {
      std::byte{2}, std::byte{4}, std::byte{5}, std::byte{0xb4}, std::byte{4},
      std::byte{2}, std::byte{1}, std::byte{3}, std::byte{3},    static_cast<std::byte>(in.byte()),
      std::byte{0}, std::byte{0}};
  bench.text(Flags::syn, initial, 0, in.word(), 0, options);
  bench.step();
  bench.text(Flags::ack, initial + 1, bench.ip.sent.back().header.sequence + 1, in.word(), 0, {});
  bench.step();
  auto awaiter = listener->accept();
  require(awaiter.await_ready());
  std::optional<Flow> flow{*awaiter.await_resume()};
  std::uint32_t position = 0;
  while (!in.empty()) operate(bench, *flow, in, position);
  bench.ip.full = false;
  flow.reset();
  listener->close();
  // Nobody answers any more: every connection ends by itself.
  require(bench.drain());
  require(bench.tcp.slices() == 0);
  require(bench.shard.buffers().statistics().bytes_in_use == 0);
}

}  // namespace

}  // namespace mirage::net::tcp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mirage::net::tcp::fuzz({data, size});
  return 0;
}
