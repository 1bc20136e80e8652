// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <config/text.hpp>
#include <config/value.hpp>

namespace mirage::plan {

TEST_CASE("names in generated code") {
  CHECK(identifier("ipv4-gateway") == "ipv4_gateway");
  CHECK(identifier("default") == "default_");
  CHECK(identifier("shard") == "shard_");
  CHECK(snake_case("CustomBlock") == "custom_block");
  CHECK(snake_case("my::KVStore") == "kvstore");
  CHECK(camel_case("custom_block_2") == "CustomBlock2");
  CHECK(replaced("{a}{a}b", "{a}", "x{a}") == "x{a}x{a}b");
}

TEST_CASE("values of keys in generated code") {
  const auto literal = [](const char* type, const char* text) { return find_key_type(type)->literal(text); };
  CHECK(literal("u16", "80") == "80U");
  CHECK(literal("i64", "-9223372036854775808") == "INT64_MIN");
  CHECK(literal("string", "a\"b\\c\n?") == R"("a\"b\\c\012\077")");
  CHECK(literal("duration", "2s") == "mirage::Duration{2000000000}");
  CHECK(literal("ipv4_prefix", "10.0.0.2/24") == "mirage::Ipv4Prefix{mirage::Ipv4Address{0x0a000002}, 24}");
  CHECK(literal("ip_prefix", "2001:db8::2/64") ==
        "mirage::IpPrefix{mirage::IpAddress::of(0x20010db800000000, 0x0000000000000002), 64}");
  CHECK(literal("ipv4_prefixes", "10.0.0.2/24,10.0.1.2/24,10.0.2.2/24") ==
        "mirage::PrefixList<mirage::Ipv4Prefix>{mirage::Ipv4Prefix{mirage::Ipv4Address{0x0a000002}, 24}, "
        "\"10.0.1.2/24,10.0.2.2/24\"}");
  CHECK(find_key_type("ipv4_prefixes")->check("10.0.0.2/24"));
  CHECK(find_key_type("ipv6_prefixes")->check("2001:db8::2/64,fd00::2/64"));
  for (const char* bad : {"", "10.0.0.2", "10.0.0.2/24,", ",10.0.0.2/24", "10.0.0.2/24,,10.0.1.2/24",
                          "10.0.0.2/24 10.0.1.2/24", "10.0.0.2/24,2001:db8::2/64", "10.0.0.2/33"}) {
    CHECK_FALSE(find_key_type("ipv4_prefixes")->check(bad));
  }
  CHECK_FALSE(find_key_type("ipv6_prefixes")->check("10.0.0.2/24"));
  CHECK_FALSE(find_key_type("ip")->check("2001:db8::g"));
  CHECK(shown(*find_key_type("duration"), "90000000000ns") == "90s");
  CHECK(shown(*find_key_type("duration"), "3600s") == "1h");
  CHECK(find_key_type("u17") == nullptr);
}

}  // namespace mirage::plan
