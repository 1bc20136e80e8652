// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/wire/tcp.hpp>

using namespace mirage;
using namespace mirage::wire;

namespace {

template <class... T>
constexpr std::array<std::byte, sizeof...(T)> octets(T... values) {
  return {static_cast<std::byte>(values)...};
}

constexpr bool round_trip(const TcpOptionSet& set) {
  std::array<std::byte, 40> memory{};
  const std::size_t size = tcp_options_size(set);
  emit_tcp_options(set, MutableBytes(memory).first(size));
  return size % 4 == 0 && parse_tcp_options(Bytes(memory).first(size)) == set;
}

constexpr TcpOptionSet syn_options{.maximum_segment_size = 1460,
                                   .window_scale = 7,
                                   .has_window_scale = true,
                                   .sack_permitted = true,
                                   .has_timestamps = true,
                                   .timestamp = 0x01020304,
                                   .timestamp_echo = 0xfffefdfc};
static_assert(tcp_options_size(syn_options) == 20);  // leaves room for the longest cookie of RFC 7413 4.1.1
static_assert(round_trip(syn_options));
static_assert(round_trip({}));
static_assert(round_trip({.sack = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}, .sack_blocks = 4}));
static_assert(round_trip({.has_timestamps = true, .sack = {{{1, 2}, {3, 4}, {5, 6}}}, .sack_blocks = 3}));

constexpr bool header_round_trip() {
  const TcpHeader header{80, 50000, 0x11223344, 0x55667788, TcpFlags::syn | TcpFlags::ack, 65535, 0xabcd, 7};
  std::array<std::byte, 24> memory{};
  header.emit(memory, 4);
  const auto view = TcpView::parse(memory);
  return view && view->header() == header && view->header_size() == 24;
}
static_assert(header_round_trip());

}  // namespace

TEST_CASE("options of Linux's SYN") {
  constexpr auto bytes = octets(2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7);
  constexpr TcpOptionSet set = parse_tcp_options(bytes);
  static_assert(set.maximum_segment_size == 1460 && set.window_scale == 7 && set.sack_permitted && set.timestamp == 9);
  CHECK_FALSE(set.malformed);
}

TEST_CASE("malformed options end the list and are reported") {
  CHECK(parse_tcp_options(octets(2)).malformed);                                       // no length
  CHECK(parse_tcp_options(octets(2, 0, 5, 0xb4)).malformed);                           // length 0 would never end
  CHECK(parse_tcp_options(octets(2, 1, 5, 0xb4)).malformed);                           // shorter than kind and length
  CHECK(parse_tcp_options(octets(2, 5, 5, 0xb4)).malformed);                           // beyond the end
  CHECK(parse_tcp_options(octets(2, 3, 5)).malformed);                                 // wrong for its kind
  CHECK(parse_tcp_options(octets(5, 9, 0, 0, 0, 1, 0, 0, 0)).malformed);               // half a block
  CHECK(parse_tcp_options(octets(5, 2)).malformed);                                    // no block
  CHECK(parse_tcp_options(octets(2, 4, 5, 0xb4, 3, 9)).maximum_segment_size == 1460);  // what came before counts
}

TEST_CASE("unknown options are skipped, end stops, large shifts are read as 14") {
  CHECK(parse_tcp_options(octets(254, 4, 1, 2, 1, 3, 3, 200)).window_scale == 14);
  CHECK(parse_tcp_options(octets(0, 2, 4, 5, 0xb4)).maximum_segment_size == 0);
}

TEST_CASE("header sizes are checked") {
  std::array<std::byte, 24> memory{};
  TcpHeader{}.emit(memory, 4);
  CHECK(TcpView::parse(Bytes(memory).first(19)).error() == TcpParseError::truncated);
  CHECK(TcpView::parse(Bytes(memory).first(23)).error() == TcpParseError::truncated);
  memory[12] = std::byte{0x40};
  CHECK(TcpView::parse(memory).error() == TcpParseError::bad_offset);
}

TEST_CASE("too many SACK blocks beside timestamps are left out") {
  const TcpOptionSet set{.has_timestamps = true, .sack = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}, .sack_blocks = 4};
  std::array<std::byte, 40> memory{};
  REQUIRE(tcp_options_size(set) == 40);
  emit_tcp_options(set, memory);
  CHECK(parse_tcp_options(memory).sack_blocks == 3);
}
