// SPDX-License-Identifier: ISC
// The DHCPv6 client against scripted servers: RFC 8415 sections 15 to 18. The client's messages go through their wire
// form and back.
#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/net/dhcp6/machine.hpp>

using namespace mirage;
using namespace mirage::net::dhcp6;
using wire::Dhcpv6Association;
using wire::Dhcpv6Id;
using wire::Dhcpv6Message;
using wire::Dhcpv6Status;
using wire::Dhcpv6Type;
using Change = Actions::Change;
using Mode = Machine::Mode;

namespace {

constexpr MacAddress mac{{2, 0, 0, 0xaa, 0xbb, 0xcc}};
constexpr IpAddress leased = IpAddress::of(0x2001'0db8'0000'0000, 0x50);
constexpr IpAddress name_server = IpAddress::of(0x2001'0db8'0000'0000, 0x53);

// --- the wire ---

template <class... T>
constexpr std::array<std::byte, sizeof...(T)> octets(T... values) {
  return {static_cast<std::byte>(values)...};
}

constexpr auto reply_bytes =
    octets(7, 1, 2, 3,                                                              // REPLY
           0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0xaa, 0xbb, 0xcc,                      // client
           0, 2, 0, 4, 0, 2, 9, 9,                                                  // server
           0, 3, 0, 40, 0, 0xaa, 0xbb, 0xcc, 0, 0, 0, 50, 0, 0, 0, 80,              // IA_NA with
           0, 5, 0, 24, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50,  // an address
           0, 0, 0, 100, 0, 0, 0, 200,                                              //
           0, 23, 0, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53, 0, 24, 0, 9, 3, 'l', 'a', 'n', 1,
           'x', 0, 0, 0,  // the last two are roots: left out
           0, 7, 0, 1, 7, 0, 14, 0, 0, 0, 82, 0, 4, 0, 0, 1, 0);

constexpr bool reply_is_read() {
  const auto reply = Dhcpv6Message::parse(reply_bytes, 0x00aabbcc);
  if (!reply || reply->type != Dhcpv6Type::reply || reply->transaction != 0x010203) return false;
  if (reply->client != Dhcpv6Id::of_link(mac) || !reply->server || reply->server->size != 4) return false;
  if (!reply->association || reply->association->count != 1 || reply->association->t2 != 80) return false;
  const auto& address = reply->association->addresses[0];
  return address.address == leased && address.preferred == 100 && address.valid == 200 && reply->preference == 7 &&
         reply->rapid_commit && reply->name_server_count == 1 && reply->name_servers[0] == name_server &&
         reply->search.view() == "lan.x" && reply->solicit_maximum == 256;
}
static_assert(reply_is_read());
static_assert(!Dhcpv6Message::parse(reply_bytes, 1)->association);  // another interface's

constexpr bool every_cut_is_refused() {
  // But where it falls between options.
  unsigned whole = 0;
  for (std::size_t size = 0; size < reply_bytes.size(); ++size) {
    if (Dhcpv6Message::parse(Bytes(reply_bytes).first(size), 0x00aabbcc)) ++whole;
  }
  return whole == 8;
}
static_assert(every_cut_is_refused());

// --- a client and its servers ---

struct Bed {
  void note(const Actions& actions) {
    change = actions.change;
    if (change != Change::none) changes.push_back(change);
    asked.reset();
    if (!actions.send) return;
    std::array<std::byte, Dhcpv6Message::maximum_size> out;
    const std::size_t size = actions.send->emit(out);
    asked = Dhcpv6Message::parse(Bytes(out).first(size), machine.association_id());
    REQUIRE(asked);
    CHECK(asked->client == Dhcpv6Id::of_link(mac));
    sent.push_back(*asked);
    times.push_back(now);
  }
  void start(Mode mode = Mode::stateful) { note(machine.start(mode, {mac, interface}, random, now)); }
  /// Lets time pass, with everything that falls due.
  void run(Duration duration) {
    const Time end = now + duration;
    while (machine.deadline() <= end) {
      now = machine.deadline();
      note(machine.expire(now));
    }
    now = end;
  }
  /// A server's message in the present exchange.
  [[nodiscard]] Dhcpv6Message from_server(Dhcpv6Type type, std::uint8_t which = 1) const {
    Dhcpv6Message message;
    message.type = type;
    message.transaction = sent.back().transaction;
    message.client = Dhcpv6Id::of_link(mac);
    message.server.emplace();
    message.server->octets = {0, 2, which};
    message.server->size = 3;
    Dhcpv6Association& association = message.association.emplace();
    association.id = machine.association_id();
    association.t1 = 500;
    association.t2 = 800;
    association.addresses[0] = {leased, 1000, 2000};
    association.count = 1;
    message.name_servers[0] = name_server;
    message.name_server_count = 1;
    return message;
  }
  void answer(const Dhcpv6Message& message) { note(machine.receive(message, now)); }
  void bind() {
    start();
    Dhcpv6Message reply = from_server(Dhcpv6Type::reply);
    reply.rapid_commit = true;
    answer(reply);
    REQUIRE(machine.state() == State::bound);
  }
  [[nodiscard]] std::vector<Dhcpv6Type> kinds() const {
    std::vector<Dhcpv6Type> out;
    for (const auto& message : sent) out.push_back(message.type);
    return out;
  }
  MacAddress interface = mac;
  Drbg random{Drbg::Seed{}};
  Machine machine;
  Time now{1000s};
  Change change = Change::none;
  std::vector<Change> changes;
  std::optional<Dhcpv6Message> asked;
  std::vector<Dhcpv6Message> sent;
  std::vector<Time> times;
};

}  // namespace

TEST_CASE("a host's second interface: the same identifier, an association of its own (RFC 8415 11 and 12)") {
  Bed first;
  first.start();
  Bed second;
  second.interface.octets[5] ^= 1;
  second.start();  // which checks the identifier
  CHECK(first.machine.association_id() != second.machine.association_id());
}

TEST_CASE("solicit, advertise, request, reply: the best advertisement of the first second (18.2.1)") {
  Bed bed;
  bed.start();
  REQUIRE(bed.asked);
  CHECK(bed.asked->type == Dhcpv6Type::solicit);
  CHECK(bed.asked->rapid_commit);
  CHECK(bed.asked->association->count == 0);
  CHECK_FALSE(bed.asked->server);
  bed.run(200ms);
  bed.answer(bed.from_server(Dhcpv6Type::advertise, 1));
  Dhcpv6Message better = bed.from_server(Dhcpv6Type::advertise, 2);
  better.preference = 10;
  bed.answer(better);
  bed.answer(bed.from_server(Dhcpv6Type::advertise, 3));
  CHECK_FALSE(bed.asked);
  bed.run(1s);
  REQUIRE(bed.sent.size() == 2);
  CHECK(bed.sent[1].type == Dhcpv6Type::request);
  CHECK(bed.sent[1].server == better.server);
  CHECK(bed.sent[1].association->addresses[0].address == leased);
  CHECK(bed.sent[1].transaction != bed.sent[0].transaction);
  CHECK(bed.times[1] - bed.times[0] > 1s);  // RAND is above 0 for the first SOLICIT
  CHECK(bed.times[1] - bed.times[0] <= 1100ms);
  bed.answer(bed.from_server(Dhcpv6Type::reply, 2));
  CHECK(bed.change == Change::bound);
  CHECK(bed.machine.lease().addresses[0].address == leased);
  CHECK(bed.machine.lease().renew == bed.now + 500s);
  CHECK(bed.machine.lease().rebind == bed.now + 800s);
  CHECK(bed.machine.lease().expires == bed.now + 2000s);
  CHECK(bed.machine.lease().names.servers()[0] == name_server);
}

TEST_CASE("preference 255 is taken at once; so is any advertisement after the first second (18.2.1)") {
  Bed bed;
  bed.start();
  Dhcpv6Message best = bed.from_server(Dhcpv6Type::advertise);
  best.preference = 255;
  bed.answer(best);
  CHECK(bed.asked->type == Dhcpv6Type::request);
  Bed late;
  late.start();
  late.run(1200ms);
  CHECK(late.kinds() == std::vector{Dhcpv6Type::solicit, Dhcpv6Type::solicit});
  late.answer(late.from_server(Dhcpv6Type::advertise));
  CHECK(late.asked->type == Dhcpv6Type::request);
}

TEST_CASE("rapid commit: two messages are enough, but only from a server that says so (18.2.1, 18.3.1)") {
  Bed bed;
  bed.bind();
  CHECK(bed.change == Change::bound);
  Bed plain;
  plain.start();
  plain.answer(plain.from_server(Dhcpv6Type::reply));
  CHECK(plain.machine.state() == State::soliciting);
  CHECK(plain.machine.counters().drop_foreign == 1);
}

TEST_CASE("a silent network: ever more slowly, an hour at most, or as long as servers say (15, 18.2.9)") {
  Bed bed;
  bed.start();
  bed.run(60s);
  CHECK(bed.sent.size() >= 6);
  CHECK(bed.sent.size() <= 8);
  for (std::size_t i = 2; i < bed.times.size(); ++i) {
    const auto ratio = static_cast<double>((bed.times[i] - bed.times[i - 1]).count()) /
                       static_cast<double>((bed.times[i - 1] - bed.times[i - 2]).count());
    CHECK(ratio >= 1.89);
    CHECK(ratio <= 2.11);
  }
  bed.run(24h);
  CHECK(bed.times.back() - bed.times[bed.times.size() - 2] <= 3960s);
  CHECK(bed.times.back() - bed.times[bed.times.size() - 2] >= 3240s);
  CHECK(bed.sent.back().elapsed == 0xffff);
  Dhcpv6Message none = bed.from_server(Dhcpv6Type::advertise);
  none.association->count = 0;
  none.status = Dhcpv6Status::no_addresses;
  none.solicit_maximum = 60;
  bed.answer(none);
  CHECK(bed.machine.counters().drop_unusable == 1);
  bed.run(2h);
  CHECK(bed.times.back() - bed.times[bed.times.size() - 2] <= 66s);
}

TEST_CASE("renew at T1 with the server, rebind at T2 with any, then the addresses go (18.2.4, 18.2.5)") {
  Bed bed;
  bed.bind();
  const Time bound = bed.now;
  bed.sent.clear();
  bed.run(499s);
  CHECK(bed.sent.empty());
  bed.run(2s);
  REQUIRE(bed.sent.size() == 1);
  CHECK(bed.sent[0].type == Dhcpv6Type::renew);
  CHECK(bed.sent[0].server);
  CHECK(bed.sent[0].association->addresses[0].address == leased);
  CHECK(bed.sent[0].association->addresses[0].valid == 0);
  bed.answer(bed.from_server(Dhcpv6Type::reply));
  CHECK(bed.machine.state() == State::bound);
  CHECK(bed.machine.lease().expires > bound + 2400s);
  bed.sent.clear();
  bed.run(799s);
  CHECK(bed.machine.state() == State::renewing);
  bed.run(2s);
  CHECK(bed.machine.state() == State::rebinding);
  CHECK_FALSE(bed.sent.back().server);
  CHECK(bed.changes.size() == 2);
  bed.run(1200s);
  CHECK(bed.machine.state() == State::soliciting);
  CHECK(bed.changes.back() == Change::lost);
  CHECK(bed.machine.counters().expired == 1);
}

TEST_CASE("times that are left to the client (21.4), and those that never end (7.7)") {
  Bed bed;
  bed.start();
  Dhcpv6Message reply = bed.from_server(Dhcpv6Type::reply);
  reply.rapid_commit = true;
  reply.association->t1 = reply.association->t2 = 0;
  bed.answer(reply);
  CHECK(bed.machine.lease().renew == bed.now + 500s);
  CHECK(bed.machine.lease().rebind == bed.now + 800s);
  Bed endless;
  endless.start();
  reply = endless.from_server(Dhcpv6Type::reply);
  reply.rapid_commit = true;
  reply.association->t1 = reply.association->t2 = 0;
  reply.association->addresses[0] = {leased, 0xffffffff, 0xffffffff};
  endless.answer(reply);
  CHECK(endless.machine.state() == State::bound);
  CHECK(endless.machine.deadline() == never);
}

TEST_CASE("no binding: the server has forgotten us, and is asked for the same addresses (18.2.10.1)") {
  Bed bed;
  bed.bind();
  bed.run(501s);
  Dhcpv6Message refusal = bed.from_server(Dhcpv6Type::reply);
  refusal.association->status = Dhcpv6Status::no_binding;
  refusal.association->count = 0;
  bed.answer(refusal);
  REQUIRE(bed.asked);
  CHECK(bed.asked->type == Dhcpv6Type::request);
  CHECK(bed.asked->association->addresses[0].address == leased);
  CHECK(bed.change == Change::none);  // for their valid lifetime they are ours
}

TEST_CASE("a request that is refused, or never answered: from the start, not in haste (18.2.2, 18.2.10)") {
  Bed bed;
  bed.start();
  Dhcpv6Message best = bed.from_server(Dhcpv6Type::advertise);
  best.preference = 255;
  bed.answer(best);
  Dhcpv6Message refusal = bed.from_server(Dhcpv6Type::reply);
  refusal.status = Dhcpv6Status::not_on_link;
  bed.answer(refusal);
  CHECK_FALSE(bed.asked);
  CHECK(bed.machine.state() == State::soliciting);
  bed.run(2s);
  CHECK(bed.sent.back().type == Dhcpv6Type::solicit);
  best.transaction = bed.sent.back().transaction;
  bed.answer(best);
  bed.sent.clear();
  bed.run(10min);
  CHECK(std::ranges::count(bed.kinds(), Dhcpv6Type::request) == 9);  // and the first: REQ_MAX_RC is 10
  CHECK(bed.machine.state() == State::soliciting);
}

TEST_CASE("an address that another station has: decline, four times at most, then from the start (18.2.8)") {
  Bed bed;
  bed.bind();
  bed.note(bed.machine.conflict(bed.now));
  CHECK(bed.change == Change::lost);
  CHECK(bed.asked->type == Dhcpv6Type::decline);
  CHECK(bed.asked->server);
  CHECK(bed.asked->association->addresses[0].address == leased);
  bed.sent.clear();
  bed.run(20s);
  CHECK(std::ranges::count(bed.kinds(), Dhcpv6Type::decline) == 3);
  CHECK(bed.sent.back().type == Dhcpv6Type::solicit);
  Bed answered;
  answered.bind();
  answered.note(answered.machine.conflict(answered.now));
  answered.answer(answered.from_server(Dhcpv6Type::reply));
  CHECK(answered.asked->type == Dhcpv6Type::solicit);
}

TEST_CASE("stateless: name servers, refreshed when the server says, no sooner than ten minutes (18.2.6, 21.23)") {
  Bed bed;
  bed.start(Mode::stateless);
  CHECK(bed.asked->type == Dhcpv6Type::information_request);
  CHECK_FALSE(bed.asked->association);
  Dhcpv6Message reply = bed.from_server(Dhcpv6Type::reply);
  reply.association.reset();
  reply.refresh = 10;
  bed.answer(reply);
  CHECK(bed.change == Change::bound);
  CHECK(bed.machine.lease().names.servers()[0] == name_server);
  CHECK(bed.machine.lease().count == 0);
  bed.sent.clear();
  bed.run(599s);
  CHECK(bed.sent.empty());
  bed.run(1500ms);
  CHECK(bed.sent.size() == 1);
  reply.transaction = bed.sent.back().transaction;
  reply.refresh.reset();
  bed.answer(reply);
  CHECK(bed.machine.deadline() == bed.now + 24h);
}

TEST_CASE("messages that are not for us, not asked for, or useless (16)") {
  Bed bed;
  bed.start();
  Dhcpv6Message message = bed.from_server(Dhcpv6Type::advertise);
  message.preference = 255;
  const auto with = [&](auto change) {
    Dhcpv6Message changed = message;
    change(changed);
    bed.answer(changed);
    CHECK(bed.machine.state() == State::soliciting);
  };
  with([](auto& m) { m.transaction ^= 1; });
  with([](auto& m) { m.client.reset(); });
  with([](auto& m) { m.client->octets[9] ^= 1; });
  with([](auto& m) { m.server.reset(); });
  with([](auto& m) { m.type = Dhcpv6Type::reconfigure; });
  CHECK(bed.machine.counters().drop_foreign == 5);
  with([](auto& m) { m.association.reset(); });
  with([](auto& m) { m.association->addresses[0].valid = 0; });
  with([](auto& m) { m.association->addresses[0].preferred = 3000; });
  with([](auto& m) { m.association->addresses[0].address = wire::dhcpv6_servers; });
  with([](auto& m) { m.association->status = Dhcpv6Status::no_addresses; });
  CHECK(bed.machine.counters().drop_unusable == 5);
}

TEST_CASE("no binding while rebinding: the server that answered is asked, not the one that is silent (18.2.10.1)") {
  Bed bed;
  bed.bind();
  bed.run(801s);
  REQUIRE(bed.machine.state() == State::rebinding);
  Dhcpv6Message refusal = bed.from_server(Dhcpv6Type::reply, 2);
  refusal.association->status = Dhcpv6Status::no_binding;
  refusal.association->count = 0;
  bed.answer(refusal);
  REQUIRE(bed.asked);
  CHECK(bed.asked->type == Dhcpv6Type::request);
  CHECK(bed.asked->server == refusal.server);
}

TEST_CASE("the server that is asked to renew ends the only address: from the start, and not for nothing (18.2.10.1)") {
  Bed bed;
  bed.bind();
  bed.run(501s);
  Dhcpv6Message reply = bed.from_server(Dhcpv6Type::reply);
  reply.association->addresses[0] = {leased, 0, 0};
  bed.answer(reply);
  bed.run(0s);
  CHECK(bed.changes.back() == Change::lost);
  CHECK(bed.machine.state() == State::soliciting);
  CHECK(bed.sent.size() == 3);
  reply.transaction = bed.sent.back().transaction;
  reply.rapid_commit = true;
  bed.answer(reply);  // of no use to who has none
  CHECK(bed.machine.counters().drop_unusable == 1);
  CHECK(bed.sent.size() == 3);
}
