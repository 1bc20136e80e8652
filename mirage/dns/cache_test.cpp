// SPDX-License-Identifier: ISC
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/dns/cache.hpp>

using namespace mirage;
using namespace mirage::dns;

namespace {

wire::DnsQuestion question(std::size_t number) {
  return {*wire::DnsName::from_text("n" + std::to_string(number) + ".example"), wire::dns_type::a};
}

struct Bed {
  Answer answer(std::size_t size, Duration ttl = 60s) {
    Answer answer;
    answer.kind = Answer::Kind::records;
    answer.ttl = ttl;
    answer.records = pool.copy(Bytes(std::vector<std::byte>(size)));
    return answer;
  }
  bool has(std::size_t number, Time now) { return cache.find(question(number), now, pool).has_value(); }
  BufferPool pool{std::size_t{1} << 20};
  Cache cache;
  Time start{1s};
};

}  // namespace

TEST_CASE("a full cache: what is over goes first, then what was not used for longest") {
  Bed bed;
  for (std::size_t i = 0; i < Cache::capacity; ++i) {
    CHECK(bed.cache.insert(question(i), bed.answer(18, i == 5 ? 10s : 60s), bed.start) == 0);
  }
  CHECK(bed.has(0, bed.start));
  CHECK(bed.cache.insert(question(1000), bed.answer(18), bed.start + 20s) == 0);
  CHECK_FALSE(bed.has(5, bed.start + 20s));
  CHECK(bed.cache.insert(question(1001), bed.answer(18), bed.start + 20s) == 1);
  CHECK(bed.has(0, bed.start + 20s));
  CHECK_FALSE(bed.has(1, bed.start + 20s));
  CHECK(bed.cache.size() == Cache::capacity);
}

TEST_CASE("the bound in bytes; what is too long is not kept") {
  Bed bed;
  unsigned evicted = 0;
  for (std::size_t i = 0; i < 40; ++i)
    evicted += bed.cache.insert(question(i), bed.answer(Cache::maximum_entry), bed.start);
  CHECK(evicted >= 24);
  CHECK(bed.cache.bytes() <= Cache::maximum_bytes);
  CHECK(bed.cache.bytes() > Cache::maximum_bytes - 2 * Cache::maximum_entry);
  CHECK(bed.has(39, bed.start));
  (void)bed.cache.insert(question(50), bed.answer(Cache::maximum_entry + 1), bed.start);
  CHECK_FALSE(bed.has(50, bed.start));
  bed.cache.clear();
  CHECK(bed.cache.bytes() == 0);
  CHECK(bed.cache.size() == 0);
}

TEST_CASE("an entry is replaced, aliases come back whole, and no pool means no memory") {
  Bed bed;
  (void)bed.cache.insert(question(1), bed.answer(18), bed.start);
  Answer alias;
  alias.kind = Answer::Kind::alias;
  alias.alias = question(2).name;
  alias.ttl = 60s;
  (void)bed.cache.insert(question(1), alias, bed.start);
  CHECK(bed.cache.size() == 1);
  const auto back = bed.cache.find(question(1), bed.start + 10s, bed.pool);
  REQUIRE(back);
  CHECK(back->kind == Answer::Kind::alias);
  CHECK(back->alias == question(2).name);
  CHECK(back->ttl == 50s);
  (void)bed.cache.insert(question(3), bed.answer(18), bed.start);
  BufferPool none{0};
  CHECK(bed.cache.find(question(3), bed.start, none)->error == ResolveError::no_memory);
}

TEST_CASE("RFC 2308 5: no such name is known for every type, no such record for its own") {
  Bed bed;
  (void)bed.cache.insert(question(1), Answer::failure(ResolveError::not_found, 60s), bed.start);
  (void)bed.cache.insert(question(2), Answer::failure(ResolveError::no_data, 60s), bed.start);
  const auto for_v6 = [](std::size_t number) { return wire::DnsQuestion{question(number).name, wire::dns_type::aaaa}; };
  const auto known = bed.cache.find(for_v6(1), bed.start, bed.pool);
  REQUIRE(known);
  CHECK(known->error == ResolveError::not_found);
  CHECK_FALSE(bed.cache.find(for_v6(2), bed.start, bed.pool));
  // A name that has come into being since takes its place.
  (void)bed.cache.insert(for_v6(1), bed.answer(18), bed.start);
  CHECK_FALSE(bed.has(1, bed.start));
}
