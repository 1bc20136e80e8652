// SPDX-License-Identifier: ISC
#include <cmath>
#include <cstring>
#include <memory>

#include <doctest/doctest.h>

#include <mirage/device/steer/steer.hpp>
#include <mirage/net/testbed_v6_test.hpp>

using namespace mirage;
using namespace mirage::net::test;
using device::Owner;
using device::Verdict;

namespace {

constexpr Verdict here{Verdict::Kind::here};
constexpr Verdict everyone{Verdict::Kind::everyone};
Verdict of_shard(std::uint16_t shard) { return {Verdict::Kind::shard, shard}; }

Packet tcp(Port from, Port to, std::size_t size = 20) {
  Packet segment(size);
  store_big(MutableBytes(segment), 0, from);
  store_big(MutableBytes(segment), 2, to);
  return segment;
}

Packet tagged(const Packet& frame) {
  Packet out(frame.begin(), frame.begin() + 12);
  for (const unsigned byte : {0x81U, 0U, 0U, 5U}) out.push_back(static_cast<std::byte>(byte));
  out.insert(out.end(), frame.begin() + 12, frame.end());
  return out;
}

/// A TestNet with its shard's place.
struct PlacedNet : TestNet {
  using TestNet::TestNet;
  [[nodiscard]] ShardPlace place() const noexcept { return where; }
  ShardPlace where;
};

/// Shards of one interface in one process.
struct Bed {
  struct One {
    One() = default;
    TestEnvironment environment;
    Shard shard{environment};
    PlacedNet net{shard.buffers()};
    device::Steer steer{shard, net};
    Scope scope{shard};
    bool started = false;

    /// What the stack of this shard would get.
    std::vector<ReceivedFrame> poll() {
      std::vector<ReceivedFrame> frames(32);
      frames.resize(steer.poll(frames));
      return frames;
    }
  };

  explicit Bed(std::uint16_t count) : memory(mailbox_size(count) + alignof(MailboxRing)), shards(count) {
    void* start = memory.data();
    std::size_t room = memory.size();
    const MutableBytes shared{
        static_cast<std::byte*>(std::align(alignof(MailboxRing), mailbox_size(count), start, room)),
        mailbox_size(count)};
    const MailboxHeader header{MailboxHeader::expected_magic, count, {1, 2}};
    std::memcpy(shared.data(), &header, sizeof header);
    for (std::uint16_t i = 0; i < count; ++i) {
      shards[i] = std::make_unique<One>();
      shards[i]->net.where = {i, count, shared, this, [](void* self, std::uint16_t shard) noexcept {
                                ++static_cast<Bed*>(self)->woken[shard];
                              }};
      auto body = [](device::Steer& steer, bool& ok) -> Task<void> { ok = (co_await steer.start()).has_value(); };
      (void)shards[i]->scope.spawn(body(shards[i]->steer, shards[i]->started));
      (void)shards[i]->shard.turn();
    }
  }
  One& operator[](std::size_t i) { return *shards[i]; }
  std::vector<std::byte> memory;
  std::vector<std::unique_ptr<One>> shards;
  std::array<int, shard_limit> woken{};
};

Packet bytes_of_frame(const ReceivedFrame& frame) {
  Packet out;
  for (const Slice& slice : frame.data) out.insert(out.end(), slice.bytes().begin(), slice.bytes().end());
  return out;
}

const Peer peer;
const Peer6 peer6;

}  // namespace

TEST_CASE("owner: ephemeral ports name their shard, for TCP, UDP and both IP versions") {
  Owner owner(3, {1, 2});
  for (std::uint16_t port = 32768; port < 32800; ++port) {
    const auto shard = static_cast<std::uint16_t>(port % 3);
    CHECK(owner.of(peer.ipv4(6, tcp(80, port))) == of_shard(shard));
    CHECK(owner.of(tagged(peer.ipv4(6, tcp(80, port)))) == of_shard(shard));
    CHECK(owner.of(peer.ipv4(17, peer.udp(53, port, {}))) == of_shard(shard));
    CHECK(owner.of(peer6.ipv6(6, tcp(80, port))) == of_shard(shard));
  }
}

TEST_CASE("owner: flows to services are spread evenly, each always to the same shard") {
  for (const std::uint16_t shards : std::initializer_list<std::uint16_t>{2, 3, 16}) {
    Owner owner(shards, {3, 4});
    Owner twin(shards, {3, 4});
    std::vector<unsigned> counts(shards);
    for (Port port = 1024; port < 1024 + 4096; ++port) {
      const Verdict verdict = owner.of(peer.ipv4(6, tcp(port, 80)));
      REQUIRE(verdict.kind == Verdict::Kind::shard);
      REQUIRE(verdict.shard < shards);
      REQUIRE(twin.of(peer.ipv4(6, tcp(port, 80, 1000))) == verdict);
      ++counts[verdict.shard];
    }
    const double share = 4096.0 / shards;
    for (const unsigned count : counts) CHECK(std::abs(count - share) < 4 * std::sqrt(share));  // four deviations
  }
}

TEST_CASE("owner: whom nobody but the key knows cannot be aimed at") {
  Owner one(2, {3, 4});
  Owner other(2, {3, 5});
  unsigned same = 0;
  for (Port port = 1024; port < 2048; ++port)
    same += one.of(peer.ipv4(6, tcp(port, 80))) == other.of(peer.ipv4(6, tcp(port, 80)));
  CHECK(same > 400);
  CHECK(same < 624);
}

TEST_CASE("owner: questions to the host are answered once, answers and errors belong to all") {
  Owner owner(2, {1, 2});
  CHECK(owner.of(peer.arp(wire::ArpPacket::request, own_ip)) == Verdict{Verdict::Kind::news});
  CHECK(owner.of(peer.arp(wire::ArpPacket::reply, own_ip, own_mac)) == everyone);
  Peer unnumbered;
  unnumbered.ip = {};
  CHECK(owner.of(unnumbered.arp(wire::ArpPacket::request, own_ip)) == here);
  CHECK(owner.of(peer.ipv4(1, Peer::icmp(8, 0, 0, {}))) == here);
  CHECK(owner.of(peer.ipv4(1, Peer::icmp(0, 0, 0, {}))) == everyone);
  CHECK(owner.of(peer.ipv4(1, Peer::icmp(3, 4, 1400, Packet(28)))) == everyone);
  CHECK(owner.of(peer.ipv4(2, Packet(8))) == everyone);
  CHECK(owner.of(peer6.icmp(Peer6::echo({}), peer6.ip, own_v6)) == here);
  CHECK(owner.of(peer6.solicitation()) == here);
  CHECK(owner.of(peer6.icmp(peer6.neighbour(136, 0x60, peer6.ip), peer6.ip, own_v6)) == everyone);
  CHECK(owner.of(peer6.icmp(Packet(16, std::byte{2}), peer6.ip, own_v6)) == everyone);
  CHECK(owner.of(peer.ipv4(17, peer.udp(67, 68, {}))) == everyone);
  CHECK(owner.of(peer6.ipv6(17, tcp(547, 546, 8))) == everyone);
}

TEST_CASE("owner: what is sent to a group goes to all its members, other protocols to whoever has them") {
  Owner owner(2, {1, 2});
  CHECK(owner.of(peer.ipv4(17, peer.udp(5353, 5353, {}), {}, {{1, 0, 0x5e, 0, 0, 0xfb}})) == everyone);
  CHECK(owner.of(peer.ipv4(17, peer.udp(9, 40001, {}), {}, MacAddress::broadcast())) == everyone);
  CHECK(owner.of(peer.frame(0x88cc, Packet(46), {{1, 0x80, 0xc2, 0, 0, 0xe}})) == everyone);
  CHECK(owner.of(peer.frame(0x88b5, Packet(46))) == here);
  CHECK(owner.of(peer.ipv4(47, Packet(20))) == here);
}

TEST_CASE("owner: fragments follow their first one; those that come before it go to all") {
  Owner owner(2, {1, 2});
  const auto fragment = [](std::uint16_t id, std::uint16_t offset, bool more) {
    return [=](wire::Ipv4Header& header) {
      header.identification = id;
      header.fragment_offset = offset;
      header.more_fragments = more;
    };
  };
  CHECK(owner.of(peer.ipv4(17, Packet(8), fragment(7, 16, false))) == everyone);
  CHECK(owner.of(peer.ipv4(17, peer.udp(53, 40001, Packet(8)), fragment(7, 0, true))) == of_shard(1));
  CHECK(owner.of(peer.ipv4(17, Packet(8), fragment(7, 16, false))) == of_shard(1));
  CHECK(owner.of(peer.ipv4(17, Packet(8), fragment(8, 16, false))) == everyone);
  CHECK(owner.of(peer.ipv4(17, peer.udp(53, 40000, Packet(8)), fragment(7, 0, true))) == of_shard(0));
  CHECK(owner.of(peer.ipv4(17, Packet(8), fragment(7, 16, false))) == of_shard(0));
  CHECK(owner.of(peer.ipv4(1, Peer::icmp(8, 0, 0, Packet(8)), fragment(9, 0, true))) == here);
  CHECK(owner.of(peer.ipv4(1, Packet(8), fragment(9, 16, false))) == here);

  const auto fragment6 = [](std::uint16_t offset, bool more, const Packet& content) {
    Packet out(8);
    wire::Ipv6Fragment{17, offset, more, 77}.emit(out);
    out.insert(out.end(), content.begin(), content.end());
    return out;
  };
  CHECK(owner.of(peer6.ipv6(44, fragment6(16, false, Packet(8)))) == everyone);
  CHECK(owner.of(peer6.ipv6(44, fragment6(0, true, tcp(53, 40001, 16)))) == of_shard(1));
  CHECK(owner.of(peer6.ipv6(44, fragment6(16, false, Packet(8)))) == of_shard(1));
  CHECK(owner.of(peer6.ipv6(44, fragment6(0, false, tcp(53, 40000, 16)))) == of_shard(0));  // RFC 6946
}

TEST_CASE("owner: a frame that is cut off anywhere is somebody's, and nothing is read behind it") {
  Owner owner(2, {1, 2});
  const Packet options = [] {
    Packet out(8 + 20);
    out[0] = std::byte{6};
    store_big(MutableBytes(out), 8 + 2, Port{40001});
    return out;
  }();
  for (const Packet& frame :
       {peer.ipv4(6, tcp(80, 40001)), peer6.ipv6(60, options), tagged(peer.ipv4(17, peer.udp(1, 2, {}))),
        peer.arp(wire::ArpPacket::request, own_ip), peer6.ipv6(44, Packet(8))}) {
    for (std::size_t size = 0; size <= frame.size(); ++size) {
      const Packet part(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
      (void)owner.of(part);
    }
  }
  CHECK(owner.of(peer6.ipv6(60, options)) == of_shard(1));
}

TEST_CASE("steer: frames reach the shard that owns them, with their metadata, and it is woken once per burst") {
  Bed bed(2);
  REQUIRE(bed[0].started);
  const Offload offload{.needs_checksum = true,
                        .segmentation = Offload::Segmentation::tcp4,
                        .checksum_start = 34,
                        .checksum_offset = 16,
                        .segment_size = 1448,
                        .header_length = 54};
  const Packet large = peer.ipv4(6, tcp(80, 40001, 30'000));
  bed[0].net.arrive(large, offload, 2000);
  bed[0].net.arrive(peer.ipv4(6, tcp(80, 40003)));
  bed[0].net.arrive(peer.ipv4(6, tcp(80, 40002)));
  const auto own = bed[0].poll();
  REQUIRE(own.size() == 1);
  CHECK(bytes_of_frame(own[0]) == peer.ipv4(6, tcp(80, 40002)));
  CHECK(bed.woken[1] == 1);
  const auto passed = bed[1].poll();
  REQUIRE(passed.size() == 2);
  CHECK(bytes_of_frame(passed[0]) == large);
  CHECK(passed[0].offload.segmentation == Offload::Segmentation::tcp4);
  CHECK(passed[0].offload.checksum_start == 34);
  CHECK(passed[0].offload.segment_size == 1448);
  CHECK(passed[0].offload.header_length == 54);
  CHECK(passed[0].offload.needs_checksum);
  CHECK_FALSE(passed[1].offload.needs_checksum);
  CHECK(bed[0].steer.counters().passed == 2);
  CHECK(bed[1].steer.counters().received == 2);
  CHECK(bed[1].poll().empty());
}

TEST_CASE("steer: answers reach all; of an ARP question the others hear who asked, and answer nothing") {
  Bed bed(3);
  bed[1].net.arrive(peer.arp(wire::ArpPacket::reply, own_ip, own_mac));
  bed[1].net.arrive(peer.arp(wire::ArpPacket::request, own_ip));
  CHECK(bed[1].poll().size() == 2);
  for (const std::size_t other : {0U, 2U}) {
    const auto heard = bed[other].poll();
    REQUIRE(heard.size() == 2);
    CHECK(bytes_of_frame(heard[0]) == peer.arp(wire::ArpPacket::reply, own_ip, own_mac));
    const auto news = wire::ArpPacket::parse(Bytes(bytes_of_frame(heard[1])).subspan(14));
    REQUIRE(news);
    CHECK(news->operation == wire::ArpPacket::request);
    CHECK(news->sender_ip == peer.ip);
    CHECK(news->sender_mac == peer.mac);
    CHECK(news->target_ip == peer.ip);
  }
}

TEST_CASE("steer: a full ring drops and counts; nothing is lost after it was emptied") {
  Bed bed(2);
  const Packet frame = peer.ipv4(6, tcp(80, 40001, 1400));
  const std::size_t count = 2 * MailboxRing::capacity / 1400;
  for (std::size_t i = 0; i < count; ++i) bed[0].net.arrive(frame);
  while (!bed[0].net.arriving.empty()) CHECK(bed[0].poll().empty());
  std::size_t arrived = 0;
  for (std::size_t size = 1; size > 0; arrived += size) size = bed[1].poll().size();
  CHECK(arrived + bed[0].steer.counters().drop_full == count);
  CHECK(arrived > count / 3);
  bed[0].net.arrive(frame);
  (void)bed[0].poll();
  CHECK(bed[1].poll().size() == 1);
}

TEST_CASE("steer: a message that no shard of ours writes is dropped and counted") {
  Bed bed(2);
  Mailbox forged;
  REQUIRE(forged.open(bed[0].net.where));
  const Packet frame = peer.ipv4(6, tcp(80, 40001));
  const auto send = [&](const Packet& meta, const Packet& body) {
    const std::array<Bytes, 2> parts{Bytes(meta), Bytes(body)};
    REQUIRE(forged.send(1, parts));
  };
  Packet bad(10);
  bad[1] = std::byte{4};
  send(Packet(10), {});
  send(Packet(10), Packet(13));
  send(bad, frame);
  send(Packet(10), Packet(66'000));
  send(Packet(10), frame);
  (void)forged.publish();
  CHECK(bed[1].poll().size() == 1);
  CHECK(bed[1].steer.counters().drop_malformed == 4);
}

TEST_CASE("steer: a stack on each shard: a connection opened by one is answered to it, whichever queue it comes to") {
  Bed bed(2);
  std::array<std::unique_ptr<net::Stack>, 2> stacks;
  for (std::size_t i = 0; i < 2; ++i) {
    stacks[i] = std::make_unique<net::Stack>(bed[i].shard, bed[i].steer, net::StackOptions{});
    auto body = [](net::Stack& stack) -> Task<void> { (void)co_await stack.start(); };
    (void)bed[i].scope.spawn(body(*stacks[i]));
    for (int turn = 0; turn < 4; ++turn) (void)bed[i].shard.turn();
    bed[i].net.sent.clear();
  }
  for (std::size_t i = 0; i < 2; ++i) {
    auto connect = [](net::Stack& stack) -> Task<void> {
      auto flow = co_await stack.tcp().connect({.address = IpAddress{peer.ip}, .port = 80});
    };
    (void)bed[i].scope.spawn(connect(*stacks[i]));
    (void)bed[i].shard.turn();
  }
  // Both ask; one answer, to the first queue, is enough for both.
  CHECK(parse_arp(bed[1].net.sent.at(0)).target_ip == peer.ip);
  bed[0].net.arrive(peer.arp(wire::ArpPacket::reply, own_ip, own_mac));
  for (std::size_t i = 0; i < 2; ++i) {
    bed[i].net.sent.clear();
    for (int turn = 0; turn < 2; ++turn) (void)bed[i].shard.turn();
  }
  for (std::size_t i = 0; i < 2; ++i) {
    REQUIRE_FALSE(bed[i].net.sent.empty());
    const Packet syn = parse(bed[i].net.sent.at(0)).payload;
    const auto port = load_big<std::uint16_t>(syn, 0);
    CHECK(port % 2 == i);
    // The answer comes to the other's queue.
    bed[1 - i].net.arrive(peer.ipv4(6, tcp(80, port)));
    CHECK(bed[1 - i].poll().empty());
    REQUIRE(bed[i].poll().size() == 1);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    bed[i].scope.cancel();
    for (int turn = 0; turn < 4; ++turn) (void)bed[i].shard.turn();
  }
}

TEST_CASE("steer: alone it changes nothing; with memory that is not the program's it does not start") {
  Bed one(1);
  REQUIRE(one[0].started);
  one[0].net.arrive(peer.ipv4(6, tcp(80, 40001)));
  CHECK(one[0].poll().size() == 1);
  CHECK(one[0].steer.capabilities().ports.shards == 1);
  CHECK(one[0].steer.capabilities().shared_secret.empty());
  Bed two(2);
  CHECK(two[1].steer.capabilities().ports.shards == 2);
  CHECK(two[1].steer.capabilities().ports.shard == 1);
  CHECK(two[1].steer.capabilities().shared_secret.size() == 16);
  CHECK(two[1].steer.capabilities().shared_secret == two[0].steer.capabilities().shared_secret);
  bool started = true;
  two[0].net.where.count = 3;
  auto body = [](device::Steer& steer, bool& ok) -> Task<void> { ok = (co_await steer.start()).has_value(); };
  (void)two[0].scope.spawn(body(two[0].steer, started));
  (void)two[0].shard.turn();
  CHECK_FALSE(started);
}
