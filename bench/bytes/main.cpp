// SPDX-License-Identifier: ISC
// usage: bench_bytes
//
// What the data path copies and pins for each byte of payload (doc/packet.md has the rules). Two stacks over a wire in
// memory, each on the device class of spt and hvt; what one of them copies is counted, without what the kernel or the
// host would do (the wire). Counts, no times: the table is the same on every machine.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <print>
#include <string_view>
#include <vector>

#include <bench/bytes/count.hpp>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/device/offload/offload.hpp>
#include <mirage/net/stack.hpp>
#include <mirage/target/solo5/frame_device.hpp>

namespace {

using namespace mirage;
using bench::copied_bytes;

Time now{Duration{1s}};

class World final : public Environment {
 public:
  explicit World(std::uint32_t seed) noexcept : seed_(seed) {}
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{now.time_since_epoch()}; }
  bool entropy(MutableBytes out) noexcept override {
    for (std::byte& byte : out) byte = static_cast<std::byte>((seed_ = seed_ * 1103515245 + 12345) >> 16);
    return true;
  }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}

 private:
  std::uint32_t seed_;
};

/// How a host is attached to the wire.
enum class Attachment : std::uint8_t {
  offload,  ///< spt and hvt under our tenders: vnet headers, frames of up to 64 KiB
  plain,    ///< scatter-gather without offloads: frames of the MTU
  stock,    ///< a stock Solo5 tender: one piece of memory for each frame
};

/// One end of the wire. Frames between ends of which only one has offloads would have to be cut: both are alike.
class Wire final : public target::solo5::FrameDevice {
 public:
  Wire(Shard& shard, std::uint8_t number, Attachment kind) noexcept : FrameDevice(shard) {
    const bool vnet = kind == Attachment::offload;
    if (!attach({.mac = {2, 0, 0, 0, 0, number}, .mtu = 1500}, kind != Attachment::stock, vnet, vnet)) std::abort();
  }
  Wire* other = nullptr;

 private:
  using Piece = target::solo5::Piece;
  long read(std::span<const Piece> pieces) noexcept override {
    if (frames_.empty()) return would_block;
    const bench::Pause pause;
    const std::vector<std::byte> frame = std::move(frames_.front());
    frames_.pop_front();
    std::size_t at = 0;
    for (const Piece& piece : pieces) {
      const std::size_t part = std::min(piece.size, frame.size() - at);
      std::copy_n(frame.data() + at, part, static_cast<std::byte*>(const_cast<void*>(piece.base)));
      at += part;
    }
    return static_cast<long>(at);
  }
  long write(std::span<const Piece> pieces) noexcept override {
    const bench::Pause pause;
    std::vector<std::byte> frame;
    for (const Piece& piece : pieces) {
      const auto* const bytes = static_cast<const std::byte*>(piece.base);
      frame.insert(frame.end(), bytes, bytes + piece.size);
    }
    const auto size = static_cast<long>(frame.size());
    other->frames_.push_back(std::move(frame));
    return size;
  }
  std::deque<std::vector<std::byte>> frames_;
};

struct Host {
  Host(std::uint8_t number, Attachment kind)
      : world(number),
        wire(shard, number, kind),
        stack(shard, offload, {{.ipv4 = {Ipv4Address::of(10, 0, 0, number), 24}}}) {
    offload.adopt_capabilities();
    auto body = [](net::Stack& started) -> Task<> {
      if (!co_await started.start()) std::abort();
    }(stack);
    if (!scope.spawn(std::move(body))) std::abort();
  }
  ~Host() { scope.cancel(); }
  [[nodiscard]] std::size_t in_use() noexcept { return shard.buffers().statistics().bytes_in_use; }

  World world;
  Shard shard{world, {.buffer_bytes = std::size_t{64} << 20, .frame_bytes = std::size_t{1} << 20}};
  Wire wire;
  device::Offload offload{shard, wire};  // as in every image
  net::Stack stack;
  Scope scope{shard};
};

/// The host that is looked at, and its peer.
struct Pair {
  explicit Pair(Attachment kind) : own(2, kind), peer(1, kind) {
    own.wire.other = &peer.wire;
    peer.wire.other = &own.wire;
    pass(2s);  // both have addresses and know each other
  }
  ~Pair() {
    own.scope.cancel();
    peer.scope.cancel();
    pass(1s);
  }
  /// One turn of both, and of whatever follows from it at once.
  void turn() {
    for (bool busy = true; busy;) {
      {
        const bench::Counting on;
        busy = own.shard.turn();
      }
      busy = peer.shard.turn() || busy;
    }
  }
  void pass(Duration time) {
    for (const Time end = now + time; now < end; now += Duration{1ms}) turn();
  }

  Host own;
  Host peer;
};

using Flow = net::tcp::Flow;
constexpr std::array<std::byte, std::size_t{64} * 1024> text{};

struct Transfer {
  std::uint64_t bytes = 0;  ///< payload that has arrived
  bool reads = true;        ///< the receiver takes what comes; else it is left in the stack
  bool over = false;
};

Task<> receive(Host& host, Transfer& transfer) {
  auto listener = host.stack.tcp().listen(9);
  if (!listener) std::abort();
  auto flow = co_await listener->accept();
  if (!flow) co_return;
  while (true) {
    while (!transfer.reads) co_await sleep(1ms);
    const auto received = co_await flow->read();
    if (!received || received->empty()) break;
    transfer.bytes += received->byte_count();
  }
  transfer.over = true;
}

/// How the sender gives its text to the stack.
enum class Given : std::uint8_t {
  references,  ///< static or owned slices
  span,        ///< a borrowed span, which the stack copies
};

Task<> send(Host& host, Ipv4Address to, std::uint64_t count, std::size_t piece, Given given) {
  auto flow = co_await host.stack.tcp().connect({to, 9});
  if (!flow) std::abort();
  flow->set_no_delay(true);
  for (std::uint64_t sent = 0; sent < count; sent += piece) {
    const Bytes bytes = Bytes{text}.first(piece);
    const auto written =
        given == Given::span ? co_await flow->write(bytes) : co_await flow->write(SliceList{Slice::from_static(bytes)});
    if (!written) co_return;                // taken down
    if (piece < 1460) co_await sleep(1ms);  // a segment of its own
  }
  flow->close();
}

void start(Host& host, Task<>&& task) {
  if (!host.scope.spawn(std::move(task))) std::abort();
}

/// What an application that reads at once has copied; and what one that does not has copied and pinned.
void row(std::string_view name, double copied, double held_copied = 0, double pinned = 0) {
  std::print("{:52}{:>8.3f}", name, copied);
  if (pinned > 0) std::print("{:>14.3f}{:>8.2f}", held_copied, pinned);
  std::print("\n");
}

/// The peer sends; then once more to an application that does not read, until its window is closed or all is there.
void tcp_in(std::string_view name, Attachment kind, std::size_t piece, std::uint64_t count) {
  double copied = 0;
  double held_copied = 0;
  double pinned = 0;
  for (const bool reads : {true, false}) {
    Pair pair{kind};
    Transfer transfer{.reads = reads};
    const std::size_t before = pair.own.in_use();
    const std::uint64_t copied_before = copied_bytes();
    start(pair.own, receive(pair.own, transfer));
    start(pair.peer, send(pair.peer, Ipv4Address::of(10, 0, 0, 2), count, piece, Given::references));
    for (std::uint64_t turns = 0; !transfer.over && turns < 3 * count / piece + 10'000; ++turns) pair.pass(1ms);
    const std::size_t held = pair.own.in_use() - before;
    const std::uint64_t copies = copied_bytes() - copied_before;
    if (!reads) {
      // What the stack holds is what the application can read without the peer's help.
      pair.peer.wire.other = &pair.peer.wire;
      transfer.reads = true;
      pair.pass(10ms);
      pinned = static_cast<double>(held) / static_cast<double>(transfer.bytes);
      held_copied = static_cast<double>(copies) / static_cast<double>(transfer.bytes);
    } else {
      copied = static_cast<double>(copies) / static_cast<double>(transfer.bytes);
    }
    if (transfer.bytes == 0 || (reads && transfer.bytes != count)) std::abort();
  }
  row(name, copied, held_copied, pinned);
}

void tcp_out(std::string_view name, Attachment kind, Given given) {
  Pair pair{kind};
  Transfer transfer;
  constexpr std::uint64_t count = std::uint64_t{8} << 20;
  const std::uint64_t before = copied_bytes();
  start(pair.peer, receive(pair.peer, transfer));
  start(pair.own, send(pair.own, Ipv4Address::of(10, 0, 0, 1), count, text.size(), given));
  for (int turns = 0; !transfer.over && turns < 100'000; ++turns) pair.pass(1ms);
  if (transfer.bytes != count) std::abort();
  row(name, static_cast<double>(copied_bytes() - before) / static_cast<double>(count));
}

class Echo final : public DatagramHandler {
 public:
  explicit Echo(net::udp::Udp& udp) noexcept : udp_(udp) {}
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    for (const Datagram& datagram : datagrams) bytes += 2 * datagram.payload.byte_count();
    (void)udp_.send(datagrams);
  }
  std::uint64_t bytes = 0;

 private:
  net::udp::Udp& udp_;
};

/// In and out both count as payload.
void udp_echo(std::string_view name, Attachment kind, std::size_t size) {
  Pair pair{kind};
  Echo echo{pair.own.stack.udp()};
  if (!pair.own.stack.udp().bind(7, echo)) std::abort();
  const std::uint64_t before = copied_bytes();
  for (int round = 0; round < 1000; ++round) {
    std::array<Datagram, 16> burst;
    for (Datagram& datagram : burst) {
      datagram.local = {IpAddress{}, 1000};
      datagram.remote = {Ipv4Address::of(10, 0, 0, 2), 7};
      (void)datagram.payload.push_back(Slice::from_static(Bytes{text}.first(size)));
    }
    (void)pair.peer.stack.udp().send(burst);
    pair.pass(1ms);
  }
  if (echo.bytes == 0) std::abort();
  row(name, static_cast<double>(copied_bytes() - before) / static_cast<double>(echo.bytes));
  pair.own.stack.udp().unbind(7);
}

}  // namespace

int main() {
  if (!bench::can_count()) {
    std::print(stderr, "bench_bytes: copies cannot be counted in a build with sanitizers\n");
    return 1;
  }
  constexpr std::uint64_t bulk = std::uint64_t{8} << 20;
  std::print("{:52}{:>8}{:>14}{:>8}\n", "bytes for each byte of payload", "copied", "left: copied", "pinned");
  tcp_in("TCP in, frames of 64 KiB", Attachment::offload, text.size(), bulk);
  tcp_in("TCP in, frames of the MTU", Attachment::plain, text.size(), bulk);
  tcp_in("TCP in, frames of the MTU, stock tender", Attachment::stock, text.size(), bulk);
  tcp_in("TCP in, segments of 300 bytes", Attachment::offload, 300, 300'000);
  tcp_in("TCP in, segments of 100 bytes", Attachment::offload, 100, 200'000);
  tcp_in("TCP in, segments of 1 byte", Attachment::offload, 1, 10'000);
  tcp_out("TCP out, slices", Attachment::offload, Given::references);
  tcp_out("TCP out, a borrowed span (copied)", Attachment::offload, Given::span);
  tcp_out("TCP out, slices, plain frames (copied)", Attachment::plain, Given::references);
  tcp_out("TCP out, slices, stock tender (copied)", Attachment::stock, Given::references);
  udp_echo("UDP echo, 1400 bytes", Attachment::offload, 1400);
  udp_echo("UDP echo, 64 bytes (copied together for USO)", Attachment::offload, 64);
  udp_echo("UDP echo, 1400 bytes, stock tender (out copied)", Attachment::stock, 1400);
}
