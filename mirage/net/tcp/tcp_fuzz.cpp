// SPDX-License-Identifier: ISC
// A connection under any sequence of segments, calls and time. Input: records of one operation byte and its arguments;
// sequence numbers are distances from the connection's own, for a blind fuzzer would never hit its window. The peer's
// text at a position is always the same, so whatever is delivered can be checked. After every step the invariants of
// the TCB hold, and at the end nothing is left over.
#include <cstdlib>
#include <optional>
#include <vector>

#include <mirage/net/tcp/serialise.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/wire/checksum.hpp>

namespace mirage::net::tcp {

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

class FuzzEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{now.time_since_epoch()}; }
  bool entropy(MutableBytes out) noexcept override {
    for (auto& byte : out) byte = std::byte{42};
    return true;
  }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}
  Time now{Duration{1s}};
};

/// Checks what is sent and throws it away; refuses when told to.
class FuzzIp {
 public:
  explicit FuzzIp(BufferPool& buffers) noexcept : buffers_(buffers) {}
  Result<Path, IpError> route(const IpAddress&, const IpAddress& destination) noexcept {
    return Path{.source = Ipv4Address::of(10, 0, 0, 2), .destination = destination, .mtu = 1500};
  }
  Result<void, IpError> send(const Path&, std::uint8_t, std::uint8_t, TransmitFrame frame) noexcept {
    if (full) return Failure{IpError::queue_full};
    const auto view = wire::TcpView::parse(std::as_const(frame.header).bytes());
    require(view.has_value() && !view->options().malformed);
    require(frame.byte_count() - view->header_size() <= (frame.offload.segment_size != 0 ? 65535U : 1460U));
    last = view->header();
    return {};
  }
  MutableSlice new_frame(std::uint32_t header) noexcept { return buffers_.allocate(header); }
  const NetCapabilities& capabilities() noexcept { return capabilities_; }
  bool full = false;
  wire::TcpHeader last{};

 private:
  BufferPool& buffers_;
  NetCapabilities capabilities_{.mac = {}, .maximum_frame = 65550, .transmit_checksum = true, .segment_tcp4 = true};
};

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

class Bench {
 public:
  Bench()
      : shard(environment, {.buffer_bytes = 1 << 20, .frame_bytes = 1 << 16}),
        ip(shard.buffers()),
        tcp(shard, ip, {.receive_window = 16384, .send_buffer = 16384}) {
    require(shard.seed_random());
    tcp.start();
  }
  static constexpr std::uint32_t initial = 0xffffff00;  // wraps soon

  void arrive(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement, std::uint16_t window,
              std::uint32_t length, Bytes options = {}) {
    const auto header = static_cast<std::uint32_t>(20 + (options.size() + 3) / 4 * 4);
    MutableSlice block = shard.buffers().allocate(header + length, 0);
    if (!block) return;
    const MutableBytes bytes = block.grow_back(header + length);
    for (auto& byte : bytes) byte = std::byte{1};
    wire::TcpHeader{.source_port = 4000,
                    .destination_port = 7,
                    .sequence = sequence,
                    .acknowledgement = acknowledgement,
                    .flags = flags,
                    .window = window}
        .emit(bytes, header - 20);
    std::copy(options.begin(), options.end(), bytes.begin() + 20);
    for (std::uint32_t i = 0; i < length; ++i) bytes[header + i] = text_at(sequence + i - initial - 1);
    IpPacket packet;
    packet.source = Ipv4Address::of(10, 0, 0, 1);
    packet.destination = Ipv4Address::of(10, 0, 0, 2);
    packet.checksum_verified = true;
    packet.payload = SliceList{std::move(block).freeze()};
    tcp.input(packet);
  }
  void step() {
    (void)shard.turn();
    tcp.flush();
    tcp.each_tcb([](const Tcb& tcb) { check(tcb); });
  }
  static void check(const Tcb& tcb) {
    const SendVariables& s = tcb.send;
    const ReceiveVariables& r = tcb.receive;
    require(s.unacknowledged <= s.next && s.next <= s.maximum && s.maximum <= s.end + 1);
    require(r.next <= r.edge && (r.ranges.empty() || r.ranges.items[0].begin > r.next));
    for (std::size_t i = 1; i < r.ranges.count; ++i) require(r.ranges.items[i - 1].end < r.ranges.items[i].begin);
    require(tcb.state != State::closed);
    require(!tcb.congestion.recovering || tcb.congestion.window > 0);
    // Whatever is unfinished has a timer: no connection waits for ever for nothing.
    if (s.unacknowledged < s.maximum) require(tcb.deadlines.retransmit != never);
  }

  FuzzEnvironment environment;
  Shard shard;
  FuzzIp ip;
  Tcp tcp;
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

void segment(Bench& bench, Input& in) {
  std::uint32_t next = Bench::initial + 1;
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
  std::vector<std::byte> options(in.byte() % 41);
  for (auto& byte : options) byte = static_cast<std::byte>(in.byte());
  bench.arrive(flags, sequence, acknowledgement, window, length, options);
}

void operate(Bench& bench, Flow& flow, Input& in, std::uint32_t& position) {
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
  Bench bench;
  auto listener = bench.tcp.listen(7);
  require(listener.has_value());
  const std::byte options[] = {
      std::byte{2}, std::byte{4}, std::byte{5}, std::byte{0xb4}, std::byte{4},
      std::byte{2}, std::byte{1}, std::byte{3}, std::byte{3},    static_cast<std::byte>(in.byte()),
      std::byte{0}, std::byte{0}};
  bench.arrive(Flags::syn, Bench::initial, 0, in.word(), 0, options);
  bench.step();
  bench.arrive(Flags::ack, Bench::initial + 1, bench.ip.last.sequence + 1, in.word(), 0);
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
  for (int i = 0; i < 4000 && bench.tcp.connections() > 0; ++i) {
    const Time next = bench.shard.next_deadline();
    bench.environment.now = std::max<Time>(bench.environment.now + 1ms, next == never ? bench.environment.now : next);
    bench.step();
  }
  require(bench.tcp.connections() == 0 && bench.tcp.slices() == 0);
  require(bench.shard.buffers().statistics().bytes_in_use == 0);
}

}  // namespace

}  // namespace mirage::net::tcp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mirage::net::tcp::fuzz({data, size});
  return 0;
}
