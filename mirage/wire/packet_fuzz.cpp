// SPDX-License-Identifier: ISC
// Every parser of headers over any bytes; what parses must survive emit and parse again.
#include <cstdlib>
#include <vector>

#include <mirage/wire/arp.hpp>
#include <mirage/wire/dhcpv4.hpp>
#include <mirage/wire/dhcpv6.hpp>
#include <mirage/wire/dns.hpp>
#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/ipv4.hpp>
#include <mirage/wire/tcp.hpp>
#include <mirage/wire/udp.hpp>

using namespace mirage;
using namespace mirage::wire;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

template <class T>
void round_trip(Bytes bytes) {
  const auto value = T::parse(bytes);
  if (!value) return;
  std::array<std::byte, T::size> out{};
  value->emit(out);
  require(T::parse(out) == value);
}

void ipv4(Bytes bytes) {
  if (const auto view = Ipv4View::parse_quoted(bytes)) {
    (void)view->value();
    require(view->header_size() <= bytes.size());
  }
  std::vector<std::byte> fixed(bytes.begin(), bytes.end());
  if (fixed.size() >= ipv4_header_size) {  // so that the checksum does not keep the fuzzer out
    const std::size_t size = std::to_integer<std::size_t>(fixed[0] & std::byte{15}) * 4;
    store_big(MutableBytes(fixed), ipv4_at::checksum, std::uint16_t{0});
    if (size <= fixed.size()) {
      store_big(MutableBytes(fixed), ipv4_at::checksum, checksum_of(Bytes(fixed).first(size)));
    }
  }
  const auto view = Ipv4View::parse(fixed, fixed.size());
  if (!view) return;
  require(view->header_size() + view->payload_size() <= fixed.size());
  require(view->fragment_offset() + view->payload_size() <= 0xffff);
  std::array<std::byte, ipv4_header_size> out{};
  Ipv4Header header = view->value();
  header.total_length = 20;
  const bool fragment = header.more_fragments;
  header.more_fragments = false;
  header.emit(out);
  const auto again = Ipv4View::parse(out, out.size());
  require(again.has_value() && again->value() == header && (fragment || !again->more_fragments()));
}

void dhcp(Bytes bytes) {
  const auto message = DhcpMessage::parse(bytes);
  if (!message) return;
  std::array<std::byte, dhcp_maximum_size> out{};
  const std::size_t size = message->emit(out);
  require(size >= dhcp_minimum_size);
  const auto again = DhcpMessage::parse(Bytes(out).first(size));
  require(again && again->type == message->type && again->transaction == message->transaction &&
          again->your_address == message->your_address && again->server == message->server &&
          again->lease_time == message->lease_time && again->subnet_mask == message->subnet_mask);
}

/// What a client would send of what it read, read again.
void dhcp6(Bytes bytes) {
  constexpr std::uint32_t id = 0x01020304;
  const auto message = Dhcpv6Message::parse(bytes, id);
  if (!message) return;
  std::array<std::byte, Dhcpv6Message::maximum_size> out{};
  const auto again = Dhcpv6Message::parse(Bytes(out).first(message->emit(out)), id);
  require(again && again->client == message->client && again->server == message->server &&
          again->elapsed == message->elapsed && again->association.has_value() == message->association.has_value());
}

/// Every record of a message that parses is there, and every name in it can be written as a question.
void dns(Bytes bytes) {
  const auto view = DnsView::parse(bytes);
  if (!view) return;
  for (auto section : {view->answers(), view->authorities()}) {
    while (const auto record = section.next()) {
      require(view->data(*record).size() == record->data_size);
      DnsQuery query{1, {record->owner, record->type}, 1232};
      if (record->type == dns_type::mx && record->of_class == dns_internet)
        query.question.name = view->name_in(*record, 2);
      std::array<std::byte, DnsQuery::maximum_size> out{};
      const auto again = DnsHead::parse(Bytes(out).first(query.emit(out)));
      require(again && again->question == query.question);
      std::array<char, DnsName::maximum_text> text;
      if (!record->owner.is_text()) continue;
      require(DnsName::from_text({text.data(), record->owner.to_text(text)}) == record->owner);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes = std::as_bytes(std::span(data, size));
  round_trip<EthernetHeader>(bytes);
  round_trip<ArpPacket>(bytes);
  round_trip<Icmpv4Header>(bytes);
  if (const auto udp = UdpHeader::parse(bytes, size)) require(udp->length <= size);
  ipv4(bytes);
  dhcp(bytes);
  dhcp6(bytes);
  dns(bytes);
  if (const auto view = TcpView::parse(bytes)) {
    (void)view->options();
    require(view->header_size() <= size);
  }
  require(sum_of(bytes) ==
              sum_of(bytes.first(size / 2 & ~std::size_t{1}), sum_of(bytes.subspan(size / 2 & ~std::size_t{1}))) ||
          size == 0);
  return 0;
}
