// SPDX-License-Identifier: ISC
// mirage-usernet as its users see it: a process at the other end of a pair of sockets.
#include <csignal>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tender/usernet/guest_test.hpp>

using namespace mirage::usernet::test;

namespace {

std::string forward(const char* protocol, std::uint16_t host_port, int guest_port) {
  return std::string{"--forward="} + protocol + "::" + std::to_string(host_port) + ":" + std::to_string(guest_port);
}

/// The network answers ARP: the helper is alive and well.
bool answers(Helper& helper) {
  helper.send(arp_request(guest_ip, gateway_ip));
  return helper.receive([](const Frame& frame) { return get16(frame, 12) == 0x0806 && get16(frame, 20) == 2; })
      .has_value();
}

bool exited(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

std::string read_text(int socket, std::size_t size) {
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::recv(socket, text.data() + done, size - done, 0);
    if (count <= 0) {
      break;
    }
    done += static_cast<std::size_t>(count);
  }
  text.resize(done);
  return text;
}

bool is_tcp(const Frame& frame, std::uint8_t flags) {
  return is_ipv4(frame, 6) && frame.size() >= tcp_payload_at && (frame[transport_at + 13] & flags) == flags;
}

std::string payload_of(const Frame& frame) {
  const std::size_t header = static_cast<std::size_t>(frame.at(transport_at + 12) >> 4) * 4;
  const std::size_t end = ip_at + get16(frame, ip_at + 2);
  return {frame.begin() + static_cast<std::ptrdiff_t>(transport_at + header),
          frame.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace

TEST_CASE("usernet: ARP for the gateway") {
  Helper helper{{}};
  REQUIRE(helper.ready());
  helper.send(arp_request(guest_ip, gateway_ip));
  const auto reply = helper.receive([](const Frame& frame) { return get16(frame, 12) == 0x0806; });
  REQUIRE(reply);
  CHECK(get16(*reply, 20) == 2);
  CHECK(get32(*reply, 28) == gateway_ip);
  CHECK(std::equal(gateway_mac.begin(), gateway_mac.end(), reply->begin() + 22));
}

TEST_CASE("usernet: echo to the gateway") {
  Helper helper{{}};
  REQUIRE(answers(helper));
  Frame echo{8, 0, 0, 0, 0x12, 0x34, 0, 1, 'm', 'i', 'r', 'a', 'g', 'e'};
  put16(echo, 2, checksum(echo, 0, echo.size()));
  helper.send(ipv4(1, guest_ip, gateway_ip, echo));
  const auto reply = helper.receive([](const Frame& frame) { return is_ipv4(frame, 1); });
  REQUIRE(reply);
  CHECK((*reply)[transport_at] == 0);
  CHECK(get16(*reply, transport_at + 4) == 0x1234);
  CHECK(std::string{reply->begin() + 42, reply->begin() + 48} == "mirage");
}

TEST_CASE("usernet: DHCP offers an address, gateway and name server") {
  Helper helper{{}};
  std::string discover(240, '\0');
  discover[0] = 1;
  discover[1] = 1;
  discover[2] = 6;
  discover.replace(4, 4, "\x01\x02\x03\x04");
  std::copy(guest_mac.begin(), guest_mac.end(), discover.begin() + 28);
  discover.replace(236, 4, "\x63\x82\x53\x63");
  discover += std::string{"\x35\x01\x01\xff", 4};
  helper.send(udp(0, 68, 0xffffffff, 67, discover));
  const auto offer = helper.receive([](const Frame& frame) { return is_ipv4(frame, 17); });
  REQUIRE(offer);
  CHECK(get32(*offer, udp_payload_at + 4) == 0x01020304);
  CHECK(get32(*offer, udp_payload_at + 16) == guest_ip);
  const std::string options{offer->begin() + udp_payload_at + 240, offer->end()};
  CHECK(options.find(std::string{"\x35\x01\x02", 3}) != std::string::npos);
  CHECK(options.find(std::string{"\x03\x04\x0a\x00\x02\x02", 6}) != std::string::npos);
  CHECK(options.find(std::string{"\x06\x04\x0a\x00\x02\x03", 6}) != std::string::npos);
}

TEST_CASE("usernet: a forwarded TCP connection, both directions, closed by the guest") {
  const std::uint16_t port = free_port(SOCK_STREAM);
  Helper helper{{forward("tcp", port, 80), "--mtu=65521"}};
  REQUIRE(helper.ready());
  const int client = connect_to(port);
  CHECK_FALSE(helper.waiting(100));  // nothing before the guest is there
  helper.send(arp_request(guest_ip, guest_ip));
  const auto opening = helper.receive([](const Frame& frame) { return is_tcp(frame, syn); });
  REQUIRE(opening);
  CHECK(get32(*opening, ip_at + 12) == gateway_ip);
  CHECK(get16(*opening, transport_at + 2) == 80);
  CHECK(get32(*opening, transport_at + 20) == (0x0204u << 16 | (65521 - 40)));  // the MSS option
  Segment segment{.source_port = 80,
                  .destination_port = get16(*opening, transport_at),
                  .sequence = 1000,
                  .acknowledgement = get32(*opening, transport_at + 4) + 1,
                  .flags = syn | ack};
  helper.send(tcp(segment));
  REQUIRE(::send(client, "ping", 4, 0) == 4);
  const auto data = helper.receive([](const Frame& frame) { return is_tcp(frame, ack) && !payload_of(frame).empty(); });
  REQUIRE(data);
  CHECK(payload_of(*data) == "ping");
  segment.sequence = 1001;
  segment.acknowledgement += 4;
  segment.flags = fin | ack;
  segment.payload = "pong";
  helper.send(tcp(segment));
  CHECK(read_text(client, 5) == "pong");  // and the end of the stream
  ::close(client);
  CHECK(helper.receive([](const Frame& frame) { return is_tcp(frame, fin); }));
}

TEST_CASE("usernet: forwarded UDP and its answer") {
  const std::uint16_t port = free_port(SOCK_DGRAM);
  Helper helper{{forward("udp", port, 53)}};
  helper.send(arp_request(guest_ip, guest_ip));
  const int client = loopback_socket(SOCK_DGRAM);
  const sockaddr_in to{
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  REQUIRE(::sendto(client, "question", 8, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 8);
  const auto question = helper.receive([](const Frame& frame) { return is_ipv4(frame, 17); });
  REQUIRE(question);
  CHECK(get16(*question, transport_at + 2) == 53);
  CHECK(std::string{question->begin() + udp_payload_at, question->end()} == "question");
  helper.send(udp(guest_ip, 53, get32(*question, ip_at + 12), get16(*question, transport_at), "answer"));
  CHECK(read_text(client, 6) == "answer");
  ::close(client);
}

TEST_CASE("usernet: this machine's loopback is reached only when allowed") {
  const int server = loopback_socket(SOCK_STREAM);
  REQUIRE(::listen(server, 1) == 0);
  const Segment opening{.source_port = 5000, .destination_port = port_of(server), .sequence = 7, .flags = syn};
  {
    Helper helper{{}};
    REQUIRE(answers(helper));
    helper.send(tcp(opening));
    CHECK_FALSE(helper.receive([](const Frame& frame) { return is_tcp(frame, syn | ack); }, 300));
  }
  {
    Helper helper{{"--restrict"}};
    REQUIRE(answers(helper));
    helper.send(tcp(opening));
    CHECK_FALSE(helper.receive([](const Frame& frame) { return is_tcp(frame, syn | ack); }, 300));
    CHECK(answers(helper));
  }
  Helper helper{{"--host-loopback"}};
  REQUIRE(answers(helper));
  helper.send(tcp(opening));
  CHECK(helper.receive([](const Frame& frame) { return is_tcp(frame, syn | ack); }));
  ::close(server);
}

TEST_CASE("usernet: queries for the name server, without a network") {
  Helper helper{{}, true};
  if (!helper.ready()) {
    REQUIRE(exited(helper.wait(), 126));
    MESSAGE("not run: no network namespace can be made here");
    return;
  }
  REQUIRE(answers(helper));
  // The helper cannot open /etc/resolv.conf any more and must outlive the attempt.
  for (std::uint16_t port = 4000; port < 4004; ++port) {
    helper.send(udp(guest_ip, port, 0x0a000203, 53, "no query at all"));
    const auto error = helper.receive([](const Frame& frame) { return is_ipv4(frame, 1); });
    REQUIRE(error);
    CHECK((*error)[transport_at] == 3);  // destination unreachable
    ::usleep(port == 4001 ? 1'100'000 : 0);
  }
}

TEST_CASE("usernet: hostile frames") {
  Helper helper{{"--statistics", "--host-loopback"}};
  REQUIRE(answers(helper));
  std::minstd_rand random{20240607};
  SUBCASE("of every length") {
    for (std::size_t size = 0; size < 80; ++size) {
      helper.send(Frame(size, 0xff));
      Frame arp = arp_request(guest_ip, gateway_ip);
      arp.resize(size);
      helper.send(arp);
      Frame ip = ipv4(6, guest_ip, gateway_ip, Frame(40));
      ip.resize(std::min(ip.size(), size));
      helper.send(ip);
    }
    CHECK(helper.send(Frame(100'000, 8)));
    Frame whole = ipv4(17, guest_ip, gateway_ip, Frame(65515));
    CHECK(helper.send(whole));
  }
  SUBCASE("mutated") {
    for (int round = 0; round < 3000; ++round) {
      Frame frame = round % 2 == 0 ? tcp({.source_port = 1, .destination_port = 2, .flags = syn, .payload = "data"})
                                   : udp(guest_ip, 1, gateway_ip, 67, "some payload");
      for (unsigned change = 0; change < 1 + random() % 3; ++change) {
        frame[14 + random() % (frame.size() - 14)] = static_cast<std::uint8_t>(random());
      }
      put32(frame, ip_at + 16, gateway_ip);  // nothing leaves this machine
      put16(frame, 24, 0);
      put16(frame, 24, checksum(frame, ip_at, std::min<std::size_t>((frame[14] & 15u) * 4u, frame.size() - 14)));
      helper.send(frame);
    }
  }
  SUBCASE("fragments that overlap and never end") {
    for (std::uint16_t round = 0; round < 500; ++round) {
      Frame frame = udp(guest_ip, 1, gateway_ip, 9, std::string(64, 'x'));
      put16(frame, ip_at + 4, static_cast<std::uint16_t>(round % 7));
      put16(frame, ip_at + 6, static_cast<std::uint16_t>(0x2000 | random() % 0x1fff));
      put16(frame, 24, 0);
      put16(frame, 24, checksum(frame, ip_at, 20));
      helper.send(frame);
    }
  }
  CHECK(answers(helper));
  const int status = helper.wait();
  INFO("wait status " << status << ": " << helper.errors());
  CHECK(exited(status, 0));
}

TEST_CASE("usernet: a guest that does not read is no danger") {
  Helper helper{{"--statistics"}};
  REQUIRE(answers(helper));
  Frame echo(1400);
  echo[0] = 8;
  put16(echo, 2, checksum(echo, 0, echo.size()));
  for (int count = 0; count < 5000; ++count) {
    REQUIRE(helper.send(ipv4(1, guest_ip, gateway_ip, echo)));
  }
  CHECK(answers(helper));  // throws the replies away
  CHECK(exited(helper.wait(), 0));
  CHECK(helper.errors().find("queue full") != std::string::npos);
}

namespace {

/// Processor time that a process has used, in clock ticks (proc(5), fields 14 and 15 of stat).
long ticks_of(pid_t pid) {
  std::ifstream in{"/proc/" + std::to_string(pid) + "/stat"};
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  std::istringstream fields{text.substr(text.rfind(')') + 2)};
  std::string skipped;
  for (int i = 0; i < 11; ++i) {
    fields >> skipped;
  }
  long user = 0;
  long system = 0;
  fields >> user >> system;
  return user + system;
}

}  // namespace

TEST_CASE("usernet: more connections than descriptors") {
  const int server = loopback_socket(SOCK_STREAM);
  REQUIRE(::listen(server, 4096) == 0);
  const std::uint16_t port = free_port(SOCK_STREAM);
  Helper helper{{"--host-loopback", forward("tcp", port, 80)}};
  REQUIRE(answers(helper));
  for (std::uint16_t i = 0; i < 1500; ++i) {
    Segment opening{.destination_port = port_of(server), .sequence = 7, .flags = syn};
    opening.source_port = static_cast<std::uint16_t>(10'000 + i);
    REQUIRE(helper.send(tcp(opening)));
    if (i % 50 == 0) {
      REQUIRE(answers(helper));
    }
  }
  const int client = connect_to(port);  // waits in the kernel: there is no descriptor for it
  CHECK(answers(helper));
  const long before = ticks_of(helper.pid());
  ::usleep(500'000);
  CHECK(ticks_of(helper.pid()) - before < ::sysconf(_SC_CLK_TCK) / 4);
  CHECK(answers(helper));
  ::close(client);
  ::close(server);
  CHECK(exited(helper.wait(), 0));
}

TEST_CASE("usernet: a port in use is named, with the mend") {
  const int occupied = loopback_socket(SOCK_STREAM);
  REQUIRE(::listen(occupied, 1) == 0);
  const std::uint16_t port = port_of(occupied);
  Helper helper{{forward("tcp", port, 80)}};
  CHECK_FALSE(helper.ready());
  CHECK(exited(helper.wait(), 1));
  CHECK(helper.errors() == "mirage-usernet: port " + std::to_string(port) + " is in use: choose another with -p " +
                               std::to_string(port < 65535 ? port + 1 : 8080) + ":80\n");
  ::close(occupied);
}

TEST_CASE("usernet: the first free port is said, and leads to the guest") {
  const int occupied = loopback_socket(SOCK_STREAM);
  REQUIRE(::listen(occupied, 1) == 0);
  const std::uint16_t port = port_of(occupied);
  const std::string from = "--forward=tcp::" + std::to_string(port) + "+:";
  Helper helper{{from + "80", from + "81"}};
  REQUIRE(helper.ready());
  unsigned first = 0;
  unsigned second = 0;
  char end = 0;
  REQUIRE(std::sscanf(helper.ports().c_str(), "%u %u%c", &first, &second, &end) == 3);
  CHECK(end == '\n');
  CHECK(first != port);
  CHECK(second != port);
  CHECK(second != first);
  const int client = connect_to(static_cast<std::uint16_t>(first));
  CHECK(client >= 0);
  ::close(client);
  ::close(occupied);
  CHECK(exited(helper.wait(), 0));
}

TEST_CASE("usernet: wrong usage") {
  Helper helper{{"--mtu=0"}};
  CHECK(exited(helper.wait(), 2));
  CHECK(helper.errors() == "mirage-usernet: the MTU is a number from 576 to 65521, not '0'\n");
}

TEST_CASE("usernet: ends when the other end is closed") {
  Helper helper{{forward("tcp", free_port(SOCK_STREAM), 80)}};
  REQUIRE(helper.ready());
  CHECK(exited(helper.wait(), 0));
}

namespace {

/// A guest's connection to a server on this machine's loopback, opened.
struct Upload {
  Upload() {
    const int small = 4096;
    ::setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    REQUIRE(::listen(server, 1) == 0);
    REQUIRE(answers(helper));
    segment = {.source_port = 5000, .destination_port = port_of(server), .sequence = 7, .flags = syn};
    helper.send(tcp(segment));
    const auto opened = helper.receive([](const Frame& frame) { return is_tcp(frame, syn | ack); });
    REQUIRE(opened);
    segment.sequence = 8;
    segment.acknowledgement = get32(*opened, transport_at + 4) + 1;
    segment.flags = ack;
    helper.send(tcp(segment));
    reader = ::accept(server, nullptr, nullptr);
    REQUIRE(reader >= 0);
  }
  ~Upload() {
    ::close(reader);
    ::close(server);
  }
  void send(std::string_view text) {
    segment.payload = text;
    helper.send(tcp(segment));
    segment.sequence += static_cast<std::uint32_t>(text.size());
    segment.payload = {};
  }
  Helper helper{{"--host-loopback"}};
  int server = loopback_socket(SOCK_STREAM);
  int reader = -1;
  Segment segment;
};

}  // namespace

TEST_CASE("usernet: what a guest sent before it ended arrives, though it left frames unread") {
  Upload upload;
  const std::string text(1000, 'x');
  ::kill(upload.helper.pid(), SIGSTOP);  // all of it is still under way at the end
  for (int i = 0; i < 40; ++i) {
    upload.send(text);
  }
  upload.helper.close_socket();
  ::kill(upload.helper.pid(), SIGCONT);
  CHECK(read_text(upload.reader, 50'000).size() == 40'000);
}

namespace {

/// Sends until the peer, who reads nothing, lets nothing more in. How many bytes were acknowledged.
std::uint32_t fill(Upload& upload) {
  const std::string text(1000, 'x');
  std::uint32_t acknowledged = 8;
  std::uint32_t window = 20'000;
  for (bool answered = true; answered && upload.segment.sequence < 20'000'000;) {
    while (upload.segment.sequence - acknowledged + text.size() <= std::min(window, 60'000U)) {
      upload.send(text);
    }
    const auto answer = upload.helper.receive([](const Frame& frame) { return is_tcp(frame, ack); }, 700);
    answered = answer.has_value();
    if (answered) {
      acknowledged = get32(*answer, transport_at + 8);
      window = get16(*answer, transport_at + 14);
    }
  }
  REQUIRE(window < text.size());
  return acknowledged - 8;
}

}  // namespace

TEST_CASE("usernet: what was acknowledged to a guest arrives, though it ends before a slow peer has read it") {
  Upload upload;
  const std::uint32_t acknowledged = fill(upload);
  upload.helper.close_socket();
  CHECK(read_text(upload.reader, 30'000'000).size() == acknowledged);
}

TEST_CASE("usernet: a peer that does not take it all sees no end, but a reset") {
  Upload upload;
  (void)fill(upload);
  upload.helper.close_socket();
  CHECK(exited(upload.helper.wait(), 0));
  std::array<char, 65536> bytes{};
  ssize_t size = 1;
  while (size > 0) {
    size = ::recv(upload.reader, bytes.data(), bytes.size(), 0);
  }
  CHECK(size < 0);
  CHECK(errno == ECONNRESET);
}

TEST_CASE("usernet: runs without privileges behind a filter") {
  Helper helper{{}};
  REQUIRE(helper.ready());
  std::ifstream status{"/proc/" + std::to_string(helper.pid()) + "/status"};
  const std::string text{std::istreambuf_iterator<char>{status}, {}};
  CHECK(text.find("\nSeccomp:\t2\n") != std::string::npos);
  CHECK(text.find("\nNoNewPrivs:\t1\n") != std::string::npos);
  CHECK(text.find("\nCapEff:\t0000000000000000\n") != std::string::npos);
  CHECK(text.find("\nCapPrm:\t0000000000000000\n") != std::string::npos);
  CHECK(text.find("\nUid:\t0\t") == std::string::npos);
  CHECK(text.find("\nThreads:\t1\n") != std::string::npos);
}

TEST_CASE("usernet: dies with its parent") {
  int pair[2];
  int report[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  REQUIRE(::pipe2(report, O_CLOEXEC) == 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(::fcntl(pair[1], F_DUPFD, 20), 10);
      ::dup2(::fcntl(report[1], F_DUPFD, 20), 11);
      ::execl(MIRAGE_USERNET, MIRAGE_USERNET, "--fd=10", "--ready-fd=11", nullptr);
    }
    ::pause();
  }
  ::close(report[1]);
  ::close(pair[1]);
  char byte = 0;
  REQUIRE(::read(report[0], &byte, 1) == 1);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  // Our end stays open, so the end of the stream is the helper's death.
  const timeval limit{5, 0};
  ::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  char frame[64];
  CHECK(::recv(pair[0], frame, sizeof frame, 0) == 0);
  ::close(pair[0]);
  ::close(report[0]);
}
