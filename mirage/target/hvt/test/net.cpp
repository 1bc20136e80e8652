// SPDX-License-Identifier: ISC
// Deeds with a network: "ping" answers ARP and ICMP echo requests for 10.0.0.2 until one arrives with sequence number
// 9 or later; plain frames in the base ABI, with vnet headers and in pieces where that is granted.
#include "image.hpp"

namespace probe {

namespace {

constexpr std::int32_t ok = static_cast<std::int32_t>(hvt::CallResult::ok);
constexpr std::int32_t again = static_cast<std::int32_t>(hvt::CallResult::again);
constexpr std::int32_t invalid = static_cast<std::int32_t>(hvt::CallResult::invalid);
constexpr int not_stopped = 3;
constexpr std::uint64_t handle = 1;
constexpr unsigned char own_address[4] = {10, 0, 0, 2};
constexpr std::uint16_t last_ping = 9;

struct Link {
  bool vectors = false;
  bool vnet = false;
  std::uint8_t mac[6] = {};
};

alignas(64) unsigned char frame[70000];
unsigned char header[hvt::vnet_header_size];

void copy(unsigned char* to, const unsigned char* from, std::size_t size) { __builtin_memcpy(to, from, size); }

/// Size of the frame that was received, 0 when there is none.
std::size_t receive(const Link& link) {
  if (!link.vectors) {
    hvt::NetCall net{handle, address(frame), sizeof frame, -1, 0};
    call(hvt::Hypercall::net_read, net);
    expect(net.result == ok || net.result == again, "read");
    return net.result == ok ? net.length : 0;
  }
  const hvt::Vector pieces[3] = {
      {address(header), sizeof header}, {address(frame), 20}, {address(frame) + 20, sizeof frame - 20}};
  const std::size_t skip = link.vnet ? 0 : 1;
  hvt::NetVectorCall net{handle, address(pieces + skip), 3 - skip, 0, -1, 0};
  call(hvt::Hypercall::net_read_vector, net);
  expect(net.result == ok || net.result == again, "read");
  return net.result == ok ? net.length - (link.vnet ? sizeof header : 0) : 0;
}

void send(const Link& link, std::size_t size) {
  if (!link.vectors) {
    hvt::NetCall net{handle, address(frame), size, -1, 0};
    call(hvt::Hypercall::net_write, net);
    expect(net.result == ok, "write");
    return;
  }
  __builtin_memset(header, 0, sizeof header);
  const hvt::Vector pieces[3] = {
      {address(header), sizeof header}, {address(frame), 14}, {address(frame) + 14, size - 14}};
  const std::size_t skip = link.vnet ? 0 : 1;
  hvt::NetVectorCall net{handle, address(pieces + skip), 3 - skip, 0, -1, 0};
  call(hvt::Hypercall::net_write_vector, net);
  expect(net.result == ok, "write");
}

bool answer_arp(const Link& link, std::size_t size) {
  if (size < 42 || frame[12] != 8 || frame[13] != 6 || frame[21] != 1 ||
      __builtin_memcmp(frame + 38, own_address, 4) != 0) {
    return false;
  }
  copy(frame + 32, frame + 22, 10);  // the sender becomes the target
  copy(frame + 22, link.mac, 6);
  copy(frame + 28, own_address, 4);
  frame[21] = 2;
  copy(frame, frame + 6, 6);
  copy(frame + 6, link.mac, 6);
  send(link, 42);
  return true;
}

/// The sequence number of the echo request that was answered, plus one; 0 for any other frame.
std::uint32_t answer_echo(const Link& link, std::size_t size) {
  if (size < 42 || frame[12] != 8 || frame[13] != 0 || frame[14] != 0x45 || frame[23] != 1 || frame[34] != 8) {
    return 0;
  }
  copy(frame, frame + 6, 6);
  copy(frame + 6, link.mac, 6);
  copy(frame + 30, frame + 26, 4);
  copy(frame + 26, own_address, 4);
  frame[34] = 0;
  std::uint32_t sum = static_cast<std::uint32_t>(frame[36] << 8 | frame[37]) + 0x800;  // the type fell by eight
  sum = (sum & 0xffff) + (sum >> 16);
  frame[36] = static_cast<unsigned char>(sum >> 8);
  frame[37] = static_cast<unsigned char>(sum);
  send(link, size);
  return static_cast<std::uint32_t>(frame[40] << 8 | frame[41]) + 1;
}

int serve(const Link& link) {
  print(link.vnet ? "serving with offloads\n" : "serving\n");
  for (;;) {
    hvt::PollCall poll{10'000'000'000, 0, 0, 0};
    call(hvt::Hypercall::poll, poll);
    expect(poll.ready_count == 1 && poll.ready_set == 1U << handle, "ready");
    while (const std::size_t size = receive(link)) {
      if (!answer_arp(link, size) && answer_echo(link, size) > last_ping) {
        return 0;
      }
    }
  }
}

int limits(const hvt::BootInfo& boot) {
  const std::uint64_t largest = device(boot).net.mtu + 14U;
  hvt::NetCall net{handle, address(frame), 0, -1, 0};
  for (const std::uint64_t length : {largest + 1, sizeof frame, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    net.length = length;
    call(hvt::Hypercall::net_write, net);
    expect(net.result == invalid, "a frame that is too long");
  }
  net = {0, address(frame), 60, -1, 0};
  call(hvt::Hypercall::net_write, net);
  expect(net.result == invalid, "the reserved handle");
  net = {64, address(frame), 60, -1, 0};
  call(hvt::Hypercall::net_write, net);
  expect(net.result == invalid, "a handle behind the last");
  return 0;
}

int vector_limits() {
  static hvt::Vector pieces[hvt::vector_limit + 1];
  for (auto& piece : pieces) {
    piece = {address(frame), 1};
  }
  hvt::NetVectorCall net{handle, address(pieces), hvt::vector_limit + 1, 0, -1, 0};
  call(hvt::Hypercall::net_write_vector, net);
  expect(net.result == invalid, "too many pieces");
  net.count = ~std::uint64_t{0};
  call(hvt::Hypercall::net_write_vector, net);
  expect(net.result == invalid, "a count that wraps");
  pieces[0].length = sizeof frame;
  pieces[1].length = sizeof frame;
  net.count = 2;
  call(hvt::Hypercall::net_write_vector, net);
  expect(net.result == invalid, "pieces that are too long together");
  return 0;
}

}  // namespace

int run_net(const hvt::BootInfo& boot, std::string_view deed) {
  Link link;
  const solo5::Extension* known = extension(boot);
  link.vectors = known != nullptr && (known->granted & solo5::scatter) != 0;
  link.vnet = link.vectors && (known->vnet_devices >> handle & 1) != 0;
  copy(link.mac, device(boot).net.mac, 6);
  if (deed == "ping") {
    return serve(link);
  }
  if (deed == "net_limits") {
    return limits(boot);
  }
  if (deed == "vector_limits") {
    return vector_limits();
  }
  if (deed == "net_beyond") {
    hvt::NetCall net{handle, boot.memory_size - 30, 60, -1, 0};
    call(hvt::Hypercall::net_write, net);
    return not_stopped;
  }
  if (deed == "net_wraps") {
    hvt::NetCall net{handle, address(frame), ~std::uint64_t{0}, -1, 0};
    call(hvt::Hypercall::net_read, net);
    return not_stopped;
  }
  if (deed == "vectors_beyond") {
    hvt::NetVectorCall net{handle, boot.memory_size - 16, 2, 0, -1, 0};
    call(hvt::Hypercall::net_write_vector, net);
    return not_stopped;
  }
  if (deed == "piece_beyond") {
    const hvt::Vector pieces[2] = {{address(frame), 14}, {boot.memory_size - 8, 46}};
    hvt::NetVectorCall net{handle, address(pieces), 2, 0, -1, 0};
    call(hvt::Hypercall::net_write_vector, net);
    return not_stopped;
  }
  print("unknown deed\n");
  return 64;
}

}  // namespace probe
