// SPDX-License-Identifier: ISC
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/wire/dns.hpp>

using namespace mirage;
using namespace mirage::wire;

namespace {

template <class... T>
constexpr std::array<std::byte, sizeof...(T)> octets(T... values) {
  return {static_cast<std::byte>(values)...};
}

constexpr DnsName name(std::string_view text) { return *DnsName::from_text(text); }

// --- names ---

static_assert(DnsName::from_text(".")->is_root());
static_assert(name("a.b").size() == 5 && name("a.b.") == name("a.b"));
static_assert(!DnsName::from_text("") && !DnsName::from_text("a..b") && !DnsName::from_text(".a"));
static_assert(!DnsName::from_text("a b") && !DnsName::from_text("a\\.b") && !DnsName::from_text("\x80"));
static_assert(name("WWW.Example") != name("www.example") && name("WWW.Example").same(name("www.example")));
static_assert(!name("www.example").same(name("www.examplf")) && name("A.b").lower() == name("a.B").lower());
static_assert(!name("a[").same(name("a{")));  // RFC 4343 3: letters only

constexpr bool limits_hold() {
  std::array<char, 300> text{};
  text.fill('x');
  const auto of = [&](std::size_t size) { return std::string_view(text.data(), size); };
  if (!DnsName::from_text(of(63)) || DnsName::from_text(of(64))) return false;
  for (const std::size_t dot : {63U, 127U, 191U, 253U}) text[dot] = '.';
  const auto longest = DnsName::from_text(of(253));
  if (!longest || longest->size() != 255 || DnsName::from_text(of(255))) return false;
  std::array<char, 253> back{};
  return longest->to_text(back) == 253 && std::string_view(back.data(), 253) == of(253);
}
static_assert(limits_hold());

constexpr std::optional<DnsName> read_at(Bytes message, std::size_t at, std::size_t end) {
  const auto read = DnsName::read(message, at);
  return read && at == end ? read : std::nullopt;
}

// "b.c" at 0, "a" and a pointer to it at 5, a pointer to that at 9.
constexpr auto compressed = octets(1, 'b', 1, 'c', 0, 1, 'a', 0xc0, 0, 0xc0, 5);
static_assert(read_at(compressed, 0, 5) == name("b.c"));
static_assert(read_at(compressed, 5, 9) == name("a.b.c"));
static_assert(read_at(compressed, 9, 11) == name("a.b.c"));
static_assert(!read_at(octets(0xc0, 0), 0, 2));           // to itself
static_assert(!read_at(octets(0xc0, 2, 0xc0, 0), 2, 4));  // a loop of two
static_assert(!read_at(octets(1, 'a', 0xc0, 0), 0, 4));   // back into the part that holds it
static_assert(!read_at(octets(0xc0, 2, 0), 0, 2));        // forward
static_assert(!read_at(octets(1), 0, 1) && !read_at(octets(1, 'a'), 0, 2) && !read_at(octets(0xc0), 0, 1));
static_assert(!read_at(octets(0x40, 'a', 0), 0, 3) && !read_at(octets(0x80, 0), 0, 2));  // RFC 1035 4.1.4: reserved

constexpr bool pointers_are_bounded() {
  // Each pointer goes to the one before it: legal steps back, but nobody writes a chain like this.
  std::array<std::byte, 1 + 2 * 40> chain{};
  for (std::size_t i = 0; i < 40; ++i) {
    store_big(MutableBytes(chain), 1 + 2 * i, static_cast<std::uint16_t>(0xc000 | (i == 0 ? 0 : 2 * i - 1)));
  }
  return read_at(chain, 1 + 2 * 31, 1 + 2 * 32).has_value() && !read_at(chain, 1 + 2 * 32, 1 + 2 * 33);
}
static_assert(pointers_are_bounded());

constexpr bool longest_name_by_pointer() {
  // 62 bytes of label, each part pointing to the one before: the fifth makes more than 255 bytes.
  std::array<std::byte, 1 + 5 * 65> message{};
  for (std::size_t part = 0; part < 5; ++part) {
    const std::size_t at = 1 + part * 65;
    for (std::size_t i = 0; i < 62; ++i) message[at + 1 + i] = std::byte{'x'};
    message[at] = std::byte{62};
    store_big(MutableBytes(message), at + 63, static_cast<std::uint16_t>(0xc000 | (part == 0 ? 0 : at - 65)));
  }
  std::size_t fourth = 1 + 3 * 65;
  std::size_t fifth = 1 + 4 * 65;
  return DnsName::read(message, fourth).has_value() && !DnsName::read(message, fifth);
}
static_assert(longest_name_by_pointer());

// --- messages ---

constexpr bool query_round_trip(std::uint16_t udp_size) {
  const DnsQuery query{0x1234, {name("wWw.example"), dns_type::aaaa}, udp_size};
  std::array<std::byte, DnsQuery::maximum_size> memory{};
  const std::size_t size = query.emit(memory);
  const auto view = DnsView::parse(Bytes(memory).first(size));
  return view && view->head().id == 0x1234 && !view->head().is_response() && view->head().question == query.question &&
         view->has_edns() == (udp_size != 0) && size == 12 + 13 + 4 + (udp_size != 0 ? 11U : 0U);
}
static_assert(query_round_trip(0) && query_round_trip(1232));

// An answer to "a.b A": a CNAME to c.b by pointer, its address, an SOA in authority, OPT with the upper code bits 1.
constexpr auto answer = octets(0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2, 0, 1, 0, 1,             // header
                               1, 'a', 1, 'b', 0, 0, 1, 0, 1,                              // question, at 12
                               0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, 'c', 0xc0, 14,  // CNAME c.b; the name at 33
                               0xc0, 33, 0, 1, 0, 1, 0x80, 0, 0, 1, 0, 4, 192, 0, 2, 7,    // A, with a negative TTL
                               0xc0, 14, 0, 6, 0, 1, 0, 0, 0, 30, 0, 24, 0xc0, 12, 0xc0, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0,
                               0, 0, 3, 0, 0, 0, 4, 0, 0, 0,
                               5,                                        // SOA
                               0, 0, 41, 4, 0xd0, 1, 0, 0x80, 0, 0, 0);  // OPT

constexpr bool answer_is_read() {
  const auto view = DnsView::parse(answer);
  if (!view || !view->has_edns() || view->code() != 0x10 || !view->head().is_response()) return false;
  auto records = view->answers();
  const auto alias = records.next();
  if (!alias || alias->owner != name("a.b") || alias->type != dns_type::cname || alias->ttl != 60) return false;
  if (view->name_in(*alias) != name("c.b")) return false;
  const auto address = records.next();
  if (!address || address->owner != name("c.b") || address->ttl != 0) return false;  // RFC 2181 8
  if (load_big<std::uint32_t>(view->data(*address), 0) != 0xc0000207 || records.next()) return false;
  auto authorities = view->authorities();
  const auto soa = authorities.next();
  return soa && soa->ttl == 30 && view->soa_minimum(*soa) == 5 && !authorities.next();
}
static_assert(answer_is_read());

constexpr bool every_cut_is_refused() {
  for (std::size_t size = 0; size < answer.size(); ++size) {
    if (DnsView::parse(Bytes(answer).first(size))) return false;
  }
  return true;
}
static_assert(every_cut_is_refused());

/// The answer with one octet changed.
constexpr bool parses_with(std::size_t at, unsigned value) {
  auto changed = answer;
  changed[at] = static_cast<std::byte>(value);
  return DnsView::parse(changed).has_value();
}
static_assert(parses_with(0, 0));
static_assert(!parses_with(5, 2));                   // two questions
static_assert(!parses_with(32, 5));                  // data longer than the name in them
static_assert(!parses_with(48, 3));                  // an address of three bytes
static_assert(!parses_with(answer.size() - 11, 1));  // OPT of a name that is not the root

static_assert(DnsHead::parse(Bytes(answer).first(21))->question->name == name("a.b"));
static_assert(!DnsHead::parse(Bytes(answer).first(20)) && !DnsHead::parse(Bytes(answer).first(11)));

}  // namespace

TEST_CASE("names as text") {
  CHECK(Text<64>("{}", name("a.b-c.example")).view() == "a.b-c.example");
  CHECK(Text<64>("{}", DnsName{}).view() == ".");
  DnsName odd;
  CHECK(odd.append(octets('a', '\n')));
  CHECK_FALSE(odd.is_text());
  CHECK(Text<64>("{}", odd).view() == "(no text)");
}

TEST_CASE("names are joined within 255 bytes") {
  DnsName host = name("www");
  CHECK(host.append(name("example.org")));
  CHECK(host == name("www.example.org"));
  DnsName longest = name(std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c'));
  CHECK(longest.append(name(std::string(60, 'd'))));
  CHECK(longest.size() == 254);
  CHECK_FALSE(longest.append(name("e")));
}

TEST_CASE("0x20 changes letters only, and not the name") {
  DnsName mixed = name("a1-z.b9");
  mixed.mix_case([] { return true; });
  CHECK(mixed == name("A1-Z.B9"));
  CHECK(mixed.same(name("a1-z.b9")));
  mixed.mix_case([] { return true; });
  CHECK(mixed == name("a1-z.b9"));
}

TEST_CASE("text strings fill their record exactly (RFC 1035 3.3.14)") {
  const auto with = [](std::initializer_list<int> data) {
    std::vector<std::byte> message(12);
    message[7] = std::byte{1};
    for (const int octet : {0, 0, 16, 0, 1, 0, 0, 0, 9, 0, static_cast<int>(data.size())}) {
      message.push_back(static_cast<std::byte>(octet));
    }
    for (const int octet : data) message.push_back(static_cast<std::byte>(octet));
    return DnsView::parse(message).has_value();
  };
  CHECK(with({2, 'a', 'b'}));
  CHECK(with({0}));
  CHECK(with({1, 'a', 0, 1, 'b'}));
  CHECK_FALSE(with({}));
  CHECK_FALSE(with({2, 'a'}));
  CHECK_FALSE(with({1, 'a', 3, 'b'}));
}
