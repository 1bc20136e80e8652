// SPDX-License-Identifier: ISC
// For tests and fuzzers: a whole TCP over an IP layer that only looks at what is sent, a clock that the test moves, and
// segments made by hand.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include <mirage/net/tcp/tcp.hpp>
#include <mirage/wire/checksum.hpp>

namespace mirage::net::tcp::test {

class BenchEnvironment final : public Environment {
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

/// What was sent.
struct SentSegment {
  wire::TcpHeader header;
  wire::TcpOptionSet options;
  Endpoint to;
  std::vector<std::byte> payload;
  Offload offload;
  std::uint8_t traffic_class = 0;
};

class BenchIp {
 public:
  explicit BenchIp(BufferPool& buffers) noexcept : buffers_(buffers) {}
  Result<Path, IpError> route(const IpAddress&, const IpAddress& destination, std::uint16_t) noexcept {
    if (unreachable) return Failure{IpError::no_route};
    const auto sum = wire::pseudo_header_sum(own, destination.v4());
    const auto interface = static_cast<std::uint16_t>(destination.v4().value >> 8 & 0xff);  // by the third octet
    return Path{
        .source = own, .destination = destination, .interface = interface, .mtu = 1500, .pseudo_header_sum = sum};
  }
  Result<void, IpError> send(const Path& path, std::uint8_t, std::uint8_t traffic_class, TransmitFrame frame) noexcept {
    if (full && path.interface == 0) return Failure{IpError::queue_full};
    const Bytes bytes = std::as_const(frame.header).bytes();
    const auto view = wire::TcpView::parse(bytes);
    if (!view) return Failure{IpError::too_long};
    SentSegment segment{.header = view->header(),
                        .options = view->options(),
                        .to = {.address = path.destination, .port = view->header().destination_port},
                        .payload = {bytes.begin() + static_cast<std::ptrdiff_t>(view->header_size()), bytes.end()},
                        .offload = frame.offload,
                        .traffic_class = traffic_class};
    for (const Slice& slice : frame.payload) {
      segment.payload.insert(segment.payload.end(), slice.bytes().begin(), slice.bytes().end());
    }
    if (!capabilities_.transmit_checksum) checksums_right &= checksum_is_right(path, frame);
    if (sent.size() >= 1000) sent.clear();
    sent.push_back(std::move(segment));
    return {};
  }
  MutableSlice new_frame(std::uint32_t header) noexcept { return buffers_.allocate(header); }
  const NetCapabilities& capabilities(std::uint16_t) noexcept { return capabilities_; }

  static constexpr Ipv4Address own = Ipv4Address::of(10, 0, 0, 2);
  bool full = false;  ///< interface 0 takes no more
  bool unreachable = false;
  bool checksums_right = true;
  NetCapabilities capabilities_{.mac = {}};
  std::vector<SentSegment> sent;

 private:
  static bool checksum_is_right(const Path& path, const TransmitFrame& frame) noexcept {
    const auto length = static_cast<std::uint32_t>(frame.byte_count());
    wire::ChecksumSum sum{wire::pseudo_header_complete(path.pseudo_header_sum, ip_protocol::tcp, length)};
    sum.add(std::as_const(frame.header).bytes());
    sum.add(frame.payload);
    return sum.sum() == 0xffff;
  }
  BufferPool& buffers_;
};

/// A segment of the peer.
struct Given {
  std::uint8_t flags = Flags::ack;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint16_t window = 60000;
  Bytes payload{};
  Bytes options{};  ///< a multiple of 4
  Port from = 4000;
  Port to = 7;
  Ipv4Address source = Ipv4Address::of(10, 0, 0, 1);
};

class Bench {
 public:
  explicit Bench(const TcpOptions& options = {}, std::size_t buffer_bytes = std::size_t{1} << 20)
      : shard(environment, {.buffer_bytes = buffer_bytes, .frame_bytes = 1 << 18}),
        ip(shard.buffers()),
        tcp(shard, ip, options) {
    (void)shard.seed_random();
    tcp.start();
  }
  void arrive(const Given& given) {
    const auto header = static_cast<std::uint32_t>(20 + given.options.size());
    const auto length = static_cast<std::uint32_t>(given.payload.size());
    MutableSlice block = shard.buffers().allocate(header + length, 0);
    if (!block) return;
    const MutableBytes bytes = block.grow_back(header + length);
    wire::TcpHeader{.source_port = given.from,
                    .destination_port = given.to,
                    .sequence = given.sequence,
                    .acknowledgement = given.acknowledgement,
                    .flags = given.flags,
                    .window = given.window}
        .emit(bytes, given.options.size());
    std::ranges::copy(given.options, bytes.begin() + 20);
    std::ranges::copy(given.payload, bytes.begin() + header);
    IpPacket packet;
    packet.source = given.source;
    packet.destination = BenchIp::own;
    packet.checksum_verified = true;
    packet.payload = SliceList{std::move(block).freeze()};
    tcp.input(packet);
  }
  /// One turn of the loop, with what follows from it.
  void step() {
    (void)shard.turn();
    tcp.flush();
  }
  void advance(Duration duration) {
    environment.now += duration;
    step();
  }
  /// Lets time pass until there is no connection; false when that takes too long.
  [[nodiscard]] bool drain() {
    for (int i = 0; i < 4000 && tcp.connections() > 0; ++i) {
      const Time next = shard.next_deadline();
      environment.now = std::max<Time>(environment.now + 1ms, next == never ? environment.now : next);
      step();
    }
    return tcp.connections() == 0;
  }

  BenchEnvironment environment;
  Shard shard;
  BenchIp ip;
  Tcp tcp;
};

}  // namespace mirage::net::tcp::test
