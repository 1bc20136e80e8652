// SPDX-License-Identifier: ISC
// For tests: a stack on a device that is a pair of lists, a clock that the test moves, and a peer that builds packets.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/net/stack.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/udp.hpp>

namespace mirage::net::test {

using Packet = std::vector<std::byte>;

inline Packet bytes_of(std::string_view text) {
  const Bytes bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

class TestEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{now.time_since_epoch()}; }
  bool entropy(MutableBytes out) noexcept override {
    for (auto& byte : out) byte = static_cast<std::byte>(seed = seed * 1103515245 + 12345);
    return has_entropy;
  }
  void wait(Time deadline) noexcept override {
    if (deadline != never && deadline > now) now = deadline;
  }
  void write_console(std::string_view text) noexcept override { console += text; }
  Time now{Duration{1s}};
  std::uint32_t seed = 1;
  bool has_entropy = true;
  std::string console;
};

/// A frame as the wire saw it.
struct Sent {
  Packet bytes;
  Offload offload;
};

class TestNet {
 public:
  explicit TestNet(BufferPool& buffers) : pool(buffers) {
    capabilities_.mac = {{2, 0, 0, 0, 0, 2}};
    capabilities_.gather = true;
  }
  const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  TestNet& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept {
    std::size_t count = 0;
    while (count < frames.size() && !arriving.empty()) {
      frames[count++] = std::move(arriving.front());
      arriving.pop_front();
    }
    return count;
  }
  std::size_t send(std::span<TransmitFrame> frames) noexcept {
    std::size_t count = 0;
    for (; count < frames.size() && room > 0; ++count, --room) {
      Packet bytes(frames[count].header.bytes().begin(), frames[count].header.bytes().end());
      for (const Slice& slice : frames[count].payload) {
        bytes.insert(bytes.end(), slice.bytes().begin(), slice.bytes().end());
      }
      sent.push_back({std::move(bytes), frames[count].offload});
      const TransmitFrame gone = std::move(frames[count]);
    }
    return count;
  }
  /// Arrives in slices of at most `piece` bytes.
  void arrive(const Packet& bytes, const Offload& offload = {}, std::size_t piece = SIZE_MAX) {
    ReceivedFrame frame;
    frame.offload = offload;
    for (std::size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at)) {
      (void)frame.data.push_back(pool.copy(Bytes(bytes).subspan(at, std::min(piece, bytes.size() - at))));
    }
    arriving.push_back(std::move(frame));
  }
  NetCapabilities capabilities_;
  BufferPool& pool;
  std::deque<ReceivedFrame> arriving;
  std::deque<Sent> sent;
  std::size_t room = SIZE_MAX;  ///< frames that the device takes before it is full
};

static_assert(mirage::Net<TestNet>);

inline constexpr Ipv4Address own_ip = Ipv4Address::of(10, 0, 0, 2);
inline constexpr MacAddress own_mac{{2, 0, 0, 0, 0, 2}};

/// Another station: builds frames to the stack.
struct Peer {
  MacAddress mac{{2, 0, 0, 0, 0, 1}};
  Ipv4Address ip = Ipv4Address::of(10, 0, 0, 1);

  Packet frame(std::uint16_t type, const Packet& payload, MacAddress destination = own_mac) const {
    Packet out(wire::EthernetHeader::size + payload.size());
    wire::EthernetHeader{destination, mac, type}.emit(out);
    std::ranges::copy(payload, out.begin() + wire::EthernetHeader::size);
    return out;
  }
  Packet arp(std::uint16_t operation, Ipv4Address target, MacAddress to = MacAddress::broadcast()) const {
    Packet payload(46);  // padded, as the wire does
    wire::ArpPacket{operation, mac, ip, operation == wire::ArpPacket::reply ? to : MacAddress{}, target}.emit(payload);
    return frame(wire::ether_type::arp, payload, to);
  }
  /// `change` may edit the header before it is written.
  Packet ipv4(std::uint8_t protocol, const Packet& payload, const std::function<void(wire::Ipv4Header&)>& change = {},
              MacAddress to = own_mac) const {
    wire::Ipv4Header header{.total_length = static_cast<std::uint16_t>(20 + payload.size()),
                            .identification = 7,
                            .protocol = protocol,
                            .source = ip,
                            .destination = own_ip};
    if (change) change(header);
    Packet packet(20 + payload.size());
    header.emit(packet);
    std::ranges::copy(payload, packet.begin() + 20);
    return frame(wire::ether_type::ipv4, packet, to);
  }
  static Packet icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, const Packet& data) {
    Packet message(8 + data.size());
    wire::Icmpv4Header{type, code, 0, rest}.emit(message);
    std::ranges::copy(data, message.begin() + 8);
    store_big(MutableBytes(message), wire::Icmpv4Header::checksum_at, wire::checksum_of(message));
    return message;
  }
  Packet udp(Port from, Port to, const Packet& data, Ipv4Address destination = own_ip) const {
    Packet message(8 + data.size());
    const auto length = static_cast<std::uint16_t>(message.size());
    wire::UdpHeader{from, to, length, 0}.emit(message);
    std::ranges::copy(data, message.begin() + 8);
    const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(ip, destination), 17, length);
    store_big(MutableBytes(message), wire::UdpHeader::checksum_at,
              wire::udp_checksum(wire::checksum_of(message, pseudo)));
    return message;
  }
};

/// What a sent frame holds, when it is IPv4.
struct Parsed {
  wire::EthernetHeader ethernet{};
  wire::Ipv4Header ip{};
  Packet payload;
};

inline Parsed parse(const Sent& sent) {
  Parsed parsed;
  parsed.ethernet = wire::EthernetHeader::parse(sent.bytes).value_or(wire::EthernetHeader{});
  const Bytes packet = Bytes(sent.bytes).subspan(wire::EthernetHeader::size);
  const auto view = wire::Ipv4View::parse(packet, packet.size());
  if (!view) return parsed;
  parsed.ip = view->value();
  const Bytes payload = packet.subspan(view->header_size(), view->payload_size());
  parsed.payload.assign(payload.begin(), payload.end());
  return parsed;
}

inline wire::ArpPacket parse_arp(const Sent& sent) {
  return wire::ArpPacket::parse(Bytes(sent.bytes).subspan(wire::EthernetHeader::size)).value_or(wire::ArpPacket{});
}

/// The stack and all around it. `run(d)` lets virtual time pass.
template <class Tested>
class BasicTestbed {
 public:
  explicit BasicTestbed(const StackOptions& options = {}) : stack(shard, net, options) {}
  ~BasicTestbed() {
    scope.cancel();
    turns(4);
  }
  /// Starts the stack; static configuration is done when this returns.
  void start(bool keep_announcement = false) {
    auto body = [](Tested& s, std::string& error, bool& done) -> Task<void> {
      auto result = co_await s.start();
      if (!result) error = result.error().text();
      done = true;
    }(stack, start_error, started);
    (void)scope.spawn(std::move(body));
    turns(4);
    if (!keep_announcement) net.sent.clear();
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) (void)shard.turn();
  }
  /// Lets time pass; timers fire at their deadlines.
  void run(Duration duration) {
    const Time end = environment.now + duration;
    while (true) {
      while (shard.turn()) {
      }
      const Time next = shard.next_deadline();
      if (next > end) break;
      environment.now = std::max(environment.now, next);
    }
    environment.now = end;
    turns(2);
  }
  void arrive(const Packet& frame) {
    net.arrive(frame);
    turns(2);
  }
  /// The oldest frame that was sent; empty when there is none.
  Sent take() {
    if (net.sent.empty()) return {};
    Sent first = std::move(net.sent.front());
    net.sent.pop_front();
    return first;
  }
  /// Makes the peer's address known.
  void meet(const Peer& peer) {
    arrive(peer.arp(wire::ArpPacket::request, own_ip));
    net.sent.clear();
  }
  TestEnvironment environment;
  Shard shard{environment};
  TestNet net{shard.buffers()};
  Tested stack;
  Scope scope{shard};
  std::string start_error;
  bool started = false;
};

using Testbed = BasicTestbed<Stack>;

/// Collects what arrives on a port; answers with the same payload when `echo` is set.
class Collector final : public DatagramHandler {
 public:
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    ++bursts;
    for (Datagram& datagram : datagrams) {
      Packet bytes;
      for (const Slice& slice : datagram.payload) {
        bytes.insert(bytes.end(), slice.bytes().begin(), slice.bytes().end());
      }
      received.push_back(std::move(bytes));
      last_remote = datagram.remote;
      if (echo != nullptr) (void)echo->send({&datagram, 1});
    }
  }
  std::vector<Packet> received;
  Endpoint last_remote;
  int bursts = 0;
  udp::Udp* echo = nullptr;
};

}  // namespace mirage::net::test
