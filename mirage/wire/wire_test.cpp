// SPDX-License-Identifier: ISC
// Parsers and emitters; what is constexpr is tested as static_assert too: undefined behaviour there does not compile.
#include <algorithm>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/wire/arp.hpp>
#include <mirage/wire/checksum.hpp>
#include <mirage/wire/dhcpv4.hpp>
#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/ipv4.hpp>
#include <mirage/wire/udp.hpp>

using namespace mirage;
using namespace mirage::wire;

namespace {

template <std::size_t N>
consteval std::array<std::byte, N> octets(const unsigned char (&values)[N]) {
  std::array<std::byte, N> out{};
  for (std::size_t i = 0; i < N; ++i) out[i] = std::byte{values[i]};
  return out;
}

constexpr MacAddress mac_a{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress mac_b{{2, 0, 0, 0, 0, 2}};

/// The example of RFC 1071 section 3: the sum is ddf2.
constexpr auto rfc1071 = octets({0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7});
static_assert(fold(sum_of(rfc1071)) == 0xddf2);
static_assert(checksum_of(rfc1071) == 0x220d);
/// RFC 1624 section 4: HC = dd2f, m = 5555, m' = 3285 gives 0000.
static_assert(checksum_update(0xdd2f, std::uint16_t{0x5555}, std::uint16_t{0x3285}) == 0x0000);

constexpr bool pieces_sum_like_the_whole() {
  const auto data = octets({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  for (std::size_t a = 0; a <= data.size(); ++a) {
    for (std::size_t b = a; b <= data.size(); ++b) {
      ChecksumSum sum;
      sum.add(Bytes(data).first(a));
      sum.add(Bytes(data).subspan(a, b - a));
      sum.add(Bytes(data).subspan(b));
      if (sum.checksum() != checksum_of(data)) return false;
    }
  }
  return true;
}
static_assert(pieces_sum_like_the_whole());

template <class T>
constexpr bool round_trip(const T& value) {
  std::array<std::byte, T::size> bytes{};
  value.emit(bytes);
  const auto parsed = T::parse(bytes);
  if (!parsed || *parsed != value) return false;
  for (std::size_t shorter = 0; shorter < T::size; ++shorter) {
    if (T::parse(Bytes(bytes).first(shorter))) return false;
  }
  return true;
}
static_assert(round_trip(EthernetHeader{mac_a, mac_b, ether_type::arp}));
static_assert(round_trip(ArpPacket{ArpPacket::reply, mac_a, Ipv4Address::of(10, 0, 0, 1), mac_b,
                                   Ipv4Address::of(10, 0, 0, 2)}));
static_assert(round_trip(Icmpv4Header{icmpv4_type::echo_request, 0, 0x1234, 0xdeadbeef}));

constexpr bool udp_round_trip() {
  const UdpHeader header{1234, 53, 20, 0xabcd};
  std::array<std::byte, 20> bytes{};
  header.emit(bytes);
  return UdpHeader::parse(bytes, 20) == header && !UdpHeader::parse(bytes, 19) &&
         !UdpHeader::parse(Bytes(bytes).first(7), 20);
}
static_assert(udp_round_trip());
static_assert(udp_checksum(0) == 0xffff && udp_checksum(1) == 1);

constexpr auto ping = [] {
  std::array<std::byte, 20> bytes{};
  Ipv4Header{.total_length = 84,
             .identification = 0xa8f5,
             .dont_fragment = true,
             .protocol = 1,
             .source = Ipv4Address::of(10, 0, 0, 1),
             .destination = Ipv4Address::of(10, 0, 0, 2)}
      .emit(bytes);
  return bytes;
}();
static_assert(load_big<std::uint16_t>(ping, ipv4_at::checksum) == 0x7db1);
static_assert(Ipv4View::parse(ping, 84).has_value());
static_assert(Ipv4View::parse(ping, 84)->source() == Ipv4Address::of(10, 0, 0, 1));
static_assert(Ipv4View::parse(ping, 84)->dont_fragment());
static_assert(Ipv4View::parse(ping, 83).error() == Ipv4ParseError::total_length);

constexpr Result<Ipv4View, Ipv4ParseError> parse_changed(std::size_t at, unsigned char value, bool fix = true) {
  static constexpr std::size_t available = 84;
  auto bytes = ping;
  bytes[at] = std::byte{value};
  if (fix) {
    store_big(MutableBytes(bytes), ipv4_at::checksum, std::uint16_t{0});
    store_big(MutableBytes(bytes), ipv4_at::checksum, checksum_of(bytes));
  }
  auto view = Ipv4View::parse(bytes, available);
  if (!view) return view;
  return Ipv4View::parse(ping, available);  // only whether it was accepted counts: `bytes` goes away
}
static_assert(parse_changed(0, 0x65).error() == Ipv4ParseError::version);
static_assert(parse_changed(0, 0x44).error() == Ipv4ParseError::header_length);
static_assert(parse_changed(0, 0x46).error() == Ipv4ParseError::truncated);
static_assert(parse_changed(3, 19).error() == Ipv4ParseError::total_length);
static_assert(parse_changed(9, 17, false).error() == Ipv4ParseError::checksum);
static_assert(parse_changed(6, 0x1f).has_value());  // offset 63480 + 64 fits
static_assert(parse_changed(6, 0x3f).has_value());  // more fragments, 64 = 8 * 8
static_assert(parse_changed(3, 83).has_value());    // padded by the link

constexpr bool ipv4_round_trip() {
  const Ipv4Header header{.traffic_class = 0x2e << 2,
                          .total_length = 28,
                          .identification = 77,
                          .dont_fragment = false,
                          .more_fragments = true,
                          .fragment_offset = 1480,
                          .time_to_live = 3,
                          .protocol = 17,
                          .source = Ipv4Address::of(192, 0, 2, 1),
                          .destination = Ipv4Address::of(198, 51, 100, 7)};
  std::array<std::byte, 28> bytes{};
  header.emit(bytes);
  const auto view = Ipv4View::parse(bytes, 28);
  return view && view->value() == header && view->is_fragment() && !view->has_options();
}
static_assert(ipv4_round_trip());

constexpr bool fragment_beyond_the_end_is_refused() {
  std::array<std::byte, 40> bytes{};
  Ipv4Header header{.total_length = 40, .fragment_offset = 65528, .protocol = 17};
  header.emit(bytes);
  return Ipv4View::parse(bytes, 40).error() == Ipv4ParseError::fragment;
}
static_assert(fragment_beyond_the_end_is_refused());

constexpr bool odd_middle_fragment_is_refused() {
  std::array<std::byte, 27> bytes{};
  Ipv4Header header{.total_length = 27, .more_fragments = true, .protocol = 17};
  header.emit(bytes);
  return Ipv4View::parse(bytes, 27).error() == Ipv4ParseError::fragment;
}
static_assert(odd_middle_fragment_is_refused());

constexpr bool dhcp_round_trip() {
  DhcpMessage message;
  message.type = DhcpType::request;
  message.transaction = 0x12345678;
  message.seconds = 9;
  message.broadcast = true;
  message.client_mac = mac_a;
  message.requested_address = Ipv4Address::of(10, 0, 0, 9);
  message.server = Ipv4Address::of(10, 0, 0, 1);
  message.host_name = "hello";
  std::array<std::byte, dhcp_maximum_size> bytes{};
  const std::size_t size = message.emit(bytes);
  if (size != dhcp_minimum_size) return false;
  const auto parsed = DhcpMessage::parse(Bytes(bytes).first(size));
  return parsed && parsed->type == message.type && parsed->transaction == message.transaction && parsed->broadcast &&
         parsed->seconds == 9 && parsed->client_mac == mac_a &&
         parsed->requested_address == message.requested_address && parsed->server == message.server &&
         !parsed->lease_time && !parsed->is_reply;
}
static_assert(dhcp_round_trip());

constexpr bool dhcp_offer_is_read() {
  DhcpMessage offer;
  offer.type = DhcpType::offer;
  offer.is_reply = true;
  offer.your_address = Ipv4Address::of(10, 0, 0, 9);
  offer.lease_time = 3600;
  offer.subnet_mask = 0xffffff00;
  offer.interface_mtu = std::uint16_t{1400};
  offer.routers = {{Ipv4Address::of(10, 0, 0, 1)}, 1};
  offer.name_servers = {{Ipv4Address::of(10, 0, 0, 3)}, 1};
  std::array<std::byte, dhcp_maximum_size> bytes{};
  const auto parsed = DhcpMessage::parse(Bytes(bytes).first(offer.emit(bytes)));
  return parsed && parsed->is_reply && parsed->lease_time == 3600 && parsed->subnet_mask == 0xffffff00 &&
         parsed->interface_mtu == 1400 && parsed->routers == offer.routers &&
         parsed->name_servers == offer.name_servers;
}
static_assert(dhcp_offer_is_read());

constexpr bool dhcp_overload_is_followed() {
  std::array<std::byte, 244> bytes{};
  store_big(MutableBytes(bytes), dhcp_at::hardware_type, std::uint16_t{0x0106});
  store_big(MutableBytes(bytes), dhcp_at::cookie, DhcpView::magic);
  bytes[240] = std::byte{dhcp_option::overload};
  bytes[241] = std::byte{1};
  bytes[242] = std::byte{1};  // options in the file field
  bytes[243] = std::byte{dhcp_option::end};
  bytes[dhcp_at::file] = std::byte{dhcp_option::message_type};
  bytes[dhcp_at::file + 1] = std::byte{1};
  bytes[dhcp_at::file + 2] = std::byte{5};
  bytes[dhcp_at::file + 3] = std::byte{dhcp_option::end};
  const auto view = DhcpView::parse(bytes);
  return view && view->type() == DhcpType::ack;
}
static_assert(dhcp_overload_is_followed());

constexpr bool dhcp_cut_option_is_not_read() {
  std::array<std::byte, 243> bytes{};
  store_big(MutableBytes(bytes), dhcp_at::hardware_type, std::uint16_t{0x0106});
  store_big(MutableBytes(bytes), dhcp_at::cookie, DhcpView::magic);
  bytes[240] = std::byte{dhcp_option::message_type};
  bytes[241] = std::byte{2};  // one byte is there
  return DhcpView::parse(bytes).has_value() && !DhcpMessage::parse(bytes);
}
static_assert(dhcp_cut_option_is_not_read());

static_assert(mask_length(0) == 0 && mask_length(0xffffff00) == 24 && mask_length(0xffffffff) == 32);
static_assert(!mask_length(0xff00ff00) && !mask_length(1));
static_assert(ArpPacket{.operation = ArpPacket::request, .target_ip = {1}}.is_probe());

}  // namespace

TEST_CASE("the wide sum equals the definition for every length and alignment") {
  std::mt19937 random{7};
  std::vector<std::byte> data(9000);
  for (auto& byte : data) byte = static_cast<std::byte>(random());
  for (std::size_t start = 0; start < 9; ++start) {
    for (const std::size_t size :
         {0U, 1U, 2U, 3U, 7U, 8U, 9U, 31U, 32U, 33U, 40U, 63U, 64U, 65U, 1499U, 1500U, 8191U, 8990U}) {
      const Bytes part = Bytes(data).subspan(start, size);
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < size; ++i) sum += std::to_integer<std::uint64_t>(part[i]) << (i % 2 == 0 ? 8 : 0);
      CHECK(sum_of(part) == fold(sum));
    }
  }
  std::ranges::fill(data, std::byte{0xff});  // every carry there is
  CHECK(sum_of(data) == 0xffff);
}

TEST_CASE("an incremental update equals a new computation") {
  std::mt19937 random{11};
  std::array<std::byte, 40> data{};
  for (int round = 0; round < 2000; ++round) {
    for (auto& byte : data) byte = static_cast<std::byte>(random());
    const std::uint16_t before = checksum_of(data);
    const auto old_word = load_big<std::uint32_t>(data, 12);
    const auto new_word = static_cast<std::uint32_t>(random());
    store_big(MutableBytes(data), 12, new_word);
    CHECK(checksum_update(before, old_word, new_word) == checksum_of(data));
  }
}

TEST_CASE("the pseudo-header of a UDP datagram seen on the wire") {
  // 10.0.0.1:1234 -> 10.0.0.2:53, payload "hi"
  std::array<std::byte, 10> datagram{};
  UdpHeader{1234, 53, 10, 0}.emit(datagram);
  datagram[8] = std::byte{'h'};
  datagram[9] = std::byte{'i'};
  const auto sum =
      pseudo_header_complete(pseudo_header_sum(Ipv4Address::of(10, 0, 0, 1), Ipv4Address::of(10, 0, 0, 2)), 17, 10);
  CHECK(sum == 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 10);
  store_big(MutableBytes(datagram), UdpHeader::checksum_at, checksum_of(datagram, sum));
  CHECK(checksum_is_valid(datagram, sum));
}
