// SPDX-License-Identifier: ISC
#include <cstring>

#include <mirage/net/dhcp/client.hpp>

namespace mirage::net::dhcp {

namespace {

constexpr Ipv4Address broadcast{0xffffffff};
constexpr std::size_t longest_reply = 1500;

/// A contiguous copy of what lies in several slices; empty when it is too long.
Bytes contiguous(const SliceList& payload, std::array<std::byte, longest_reply>& memory) noexcept {
  if (payload.size() == 1) return payload[0].bytes();
  if (payload.byte_count() > memory.size()) return {};
  std::size_t at = 0;
  for (const Slice& slice : payload) {
    std::memcpy(memory.data() + at, slice.data(), slice.size());
    at += slice.size();
  }
  return Bytes(memory).first(at);
}

}  // namespace

Client::~Client() {
  if (started_) udp_.unbind(wire::dhcp_client_port);
}

Result<void, UdpError> Client::start(const MacAddress& mac) noexcept {
  MIRAGE_TRY([[maybe_unused]] const Port port, udp_.bind(wire::dhcp_client_port, *this));
  started_ = true;
  perform(machine_.start(mac, shard_.random(), shard_.now()));
  return {};
}

void Client::on_burst(std::span<Datagram> datagrams) noexcept {
  for (const Datagram& datagram : datagrams) {
    if (datagram.remote.port != wire::dhcp_server_port) continue;
    std::array<std::byte, longest_reply> memory;
    const auto message = wire::DhcpMessage::parse(contiguous(datagram.payload, memory));
    if (!message) {
      ++machine_.counters().drop_malformed;
      continue;
    }
    perform(machine_.receive(*message, shard_.now()));
  }
}

void Client::perform(const Actions& actions) noexcept {
  if (actions.change != Actions::Change::none) change_ = actions.change;
  if (actions.send) {
    const Ipv4Address own = actions.send->client_address;
    send(*actions.send, own, actions.to_server ? machine_.lease().server : broadcast);
  }
  if (machine_.deadline() == never) {
    timer_.disarm();
  } else {
    timer_.arm(shard_.timers(), machine_.deadline());
  }
}

void Client::send(const wire::DhcpMessage& message, Ipv4Address source, Ipv4Address destination) noexcept {
  MutableSlice payload = shard_.buffers().allocate(wire::dhcp_maximum_size, 0);
  if (!payload) return;  // counted by the pool; the timer tries again
  const std::size_t size = message.emit(payload.grow_back(wire::dhcp_maximum_size));
  payload.truncate(static_cast<std::uint32_t>(size));
  if (size == 0) return;
  [[clang::uninitialized]] Datagram datagram;
  datagram.local = {source, wire::dhcp_client_port};
  datagram.remote = {destination, wire::dhcp_server_port};
  (void)datagram.payload.push_back(std::move(payload).freeze());
  machine_.counters().sent += udp_.send({&datagram, 1});
}

}  // namespace mirage::net::dhcp
