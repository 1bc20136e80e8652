// SPDX-License-Identifier: ISC
// The classic small services, for the integration tests: echo (TCP and UDP port 7), discard with a digest of what came
// (9), a source of bytes (19), a connection that is reset (13), one that closes its side first (37).
#pragma once

#include <mirage/module/application.hpp>

/// FNV-1a, 64 bits: what the tests compute too.
class Digest {
 public:
  void add(mirage::Bytes bytes) noexcept {
    for (const std::byte byte : bytes) value_ = (value_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

template <mirage::Stack Net>
class UdpEcho final : public mirage::DatagramHandler {
 public:
  explicit UdpEcho(Net& net) noexcept : net_(net) {}
  void on_burst(std::span<mirage::Datagram> datagrams) noexcept override { (void)net_.udp().send(datagrams); }

 private:
  Net& net_;
};

template <mirage::Stack Net>
struct Services {
  using Flow = typename Net::Tcp::Flow;
  using Service = mirage::Task<> (*)(const Keys&, Flow);

  static mirage::Task<int> start(Net& net, const Keys& keys) {
    UdpEcho<Net> udp_echo{net};
    if (!net.udp().bind(7, udp_echo)) co_return 1;
    mirage::Scope scope{keys.shard};
    const bool all = scope.spawn(listen(net, keys, 7, &echo)) && scope.spawn(listen(net, keys, 9, &discard)) &&
                     scope.spawn(listen(net, keys, 19, &source)) && scope.spawn(listen(net, keys, 13, &reset)) &&
                     scope.spawn(listen(net, keys, 37, &close_first));
    if (!all) co_return 1;
    co_await mirage::yield();  // until they listen
    keys.shard.logger("application").info("services are up on {}", net.address());
    co_await scope.join();
    co_return 1;
  }

 private:
  static mirage::Task<> listen(Net& net, const Keys& keys, mirage::Port port, Service service) {
    auto listener = net.tcp().listen(port, {.backlog = 512});
    if (!listener) {
      keys.shard.logger("application").error("port {}: {}", port, listener.error());
      co_return;
    }
    mirage::Scope scope{keys.shard};
    while (auto flow = co_await listener->accept()) {
      if (!scope.spawn(service(keys, std::move(*flow)))) keys.shard.logger("application").warning("connection refused");
    }
    co_await scope.join();
  }

  static mirage::Task<> echo(const Keys&, Flow flow) {
    while (true) {
      auto received = co_await flow.read();
      if (!received || received->empty()) break;
      if (!co_await flow.write(std::move(*received))) break;
    }
    flow.close();
  }

  static mirage::Task<> discard(const Keys&, Flow flow) {
    Digest digest;
    std::uint64_t total = 0;
    while (true) {
      auto received = co_await flow.read();
      if (!received) co_return;
      if (received->empty()) break;
      total += received->byte_count();
      for (const mirage::Slice& slice : *received) digest.add(slice.bytes());
    }
    const mirage::Text<64> answer{"{} {}\n", total, mirage::Hex{digest.value(), 16}};
    (void)co_await flow.write(mirage::as_bytes(answer.view()));
    flow.close();
  }

  /// Takes a decimal count and a newline; answers with that many bytes: byte i is (i * 131 + i / 251) modulo 256.
  static mirage::Task<> source(const Keys& keys, Flow flow) {
    auto request = co_await flow.read();
    if (!request || request->empty()) co_return;
    const std::string_view text = (*request)[0].text();
    const auto count = mirage::parse_unsigned<std::uint64_t>(text.substr(0, text.find('\n')));
    if (!count) co_return;
    for (std::uint64_t at = 0; at < *count;) {
      const std::uint64_t left = *count - at;
      mirage::MutableSlice block = keys.shard.buffers().allocate_sparing(mirage::large_capacity, 0);
      if (!block) block = keys.shard.buffers().allocate_sparing(mirage::frame_capacity, 0);
      if (!block) {
        co_await mirage::sleep(mirage::Duration{1'000'000});
        continue;
      }
      const auto size = static_cast<std::uint32_t>(left < block.tailroom() ? left : block.tailroom());
      const mirage::MutableBytes bytes = block.grow_back(size);
      for (std::uint32_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((at + i) * 131 + (at + i) / 251);
      at += size;
      if (!co_await flow.write(mirage::SliceList{std::move(block).freeze()})) co_return;
    }
    flow.close();
  }

  static mirage::Task<> reset(const Keys&, Flow flow) {
    (void)co_await flow.read();
    flow.abort();
  }

  /// Half-close from our side: sends, shuts down, then counts what the peer still sends.
  static mirage::Task<> close_first(const Keys& keys, Flow flow) {
    (void)co_await flow.write(mirage::as_bytes("bye\n"));
    flow.shutdown();
    std::uint64_t total = 0;
    while (true) {
      auto received = co_await flow.read();
      if (!received || received->empty()) break;
      total += received->byte_count();
    }
    keys.shard.logger("application").info("after the half-close {} bytes came", total);
  }
};
