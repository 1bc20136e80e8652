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
    if (synchronised(tcb.state)) require(tcb.congestion.window > 0);
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
  wire::TcpOptionSet stamps;
  bench.tcp.each_tcb([&](const Tcb& tcb) {
    if (tcb.remote.port != 4000) return;
    next = tcb.receive.next.value;
    una = tcb.send.unacknowledged.value;
    stamps.has_timestamps = tcb.timestamps.on;
    stamps.timestamp = tcb.timestamps.recent;
    stamps.timestamp_echo = tcb.timestamps.offset + 1000;
  });
  const std::uint8_t flags = in.byte();
  const auto sequence = next + static_cast<std::uint32_t>(static_cast<std::int16_t>(in.word()));
  const auto acknowledgement = una + static_cast<std::uint32_t>(static_cast<std::int16_t>(in.word()));
  const std::uint16_t window = in.word();
  const std::uint32_t length = in.word() % 3000;
  const std::uint8_t shape = in.byte();
  std::vector<std::byte> options(shape % 11 * 4U);
  for (auto& byte : options) byte = static_cast<std::byte>(in.byte());
  if (stamps.has_timestamps && shape < 200) {  // near the right ones; the rest are noise
    stamps.timestamp += static_cast<std::uint32_t>(static_cast<std::int8_t>(in.byte()));
    stamps.timestamp_echo += in.byte();
    options.resize(wire::tcp_options_size(stamps));
    wire::emit_tcp_options(stamps, options);
  }
  bench.text(flags, sequence, acknowledgement, window, length, options);
}

/// Other peers than the one: SYNs beyond the backlog, and acknowledgements of the cookies that answer them.
void visit(FuzzBench& bench, Input& in) {
  const Port from = static_cast<Port>(5000 + in.byte() % 4);
  const bool opens = (in.byte() & 1) != 0;
  const std::uint32_t number = bench.ip.sent.empty() ? 0 : bench.ip.sent.back().header.sequence;
  bench.arrive({.flags = opens ? Flags::syn : Flags::ack,
                .sequence = opens ? initial : initial + 1,
                .acknowledgement = opens ? 0 : number + 1,
                .from = from});
}

void operate(FuzzBench& bench, Flow& flow, Input& in, std::uint32_t& position) {
  switch (in.byte() % 16) {
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
    case 9:
      visit(bench, in);
      break;
    case 10:
      flow.mark_urgent();
      break;
    case 11:
      flow.set_user_timeout(std::chrono::seconds{in.byte()});
      break;
    default:
      segment(bench, in);
  }
  bench.step();
}

void fuzz(Input in) {
  FuzzBench bench;
  auto listener = bench.tcp.listen(7, {.backlog = 2});
  require(listener.has_value());
  wire::TcpOptionSet options;
  options.maximum_segment_size = 1460;
  options.sack_permitted = options.has_window_scale = true;
  options.window_scale = in.byte() % 16;
  options.has_timestamps = (in.byte() & 1) != 0;
  options.timestamp = 0xfffffff0;
  std::vector<std::byte> bytes(wire::tcp_options_size(options));
  wire::emit_tcp_options(options, bytes);
  bench.text(Flags::syn, initial, 0, in.word(), 0, bytes);
  bench.step();
  options = {.has_timestamps = options.has_timestamps, .timestamp = 0xfffffff1};
  bytes.resize(wire::tcp_options_size(options));
  wire::emit_tcp_options(options, bytes);
  bench.text(Flags::ack, initial + 1, bench.ip.sent.back().header.sequence + 1, in.word(), 0, bytes);
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
