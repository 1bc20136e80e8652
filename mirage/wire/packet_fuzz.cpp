// SPDX-License-Identifier: ISC
// Every parser of headers over any bytes; what parses must survive emit and parse again.
#include <cstdlib>
#include <vector>

#include <mirage/wire/arp.hpp>
#include <mirage/wire/dhcpv4.hpp>
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
  if (const auto view = TcpView::parse(bytes)) {
    (void)view->options();
    require(view->header_size() <= size);
  }
  require(sum_of(bytes) ==
              sum_of(bytes.first(size / 2 & ~std::size_t{1}), sum_of(bytes.subspan(size / 2 & ~std::size_t{1}))) ||
          size == 0);
  return 0;
}
