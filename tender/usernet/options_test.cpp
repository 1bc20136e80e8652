// SPDX-License-Identifier: ISC
#include <vector>

#include <doctest/doctest.h>

#include <tender/usernet/options.hpp>

using namespace mirage;
using namespace mirage::usernet;

namespace {

Result<Options> parse(std::vector<const char*> arguments) {
  std::vector<char*> copies;
  for (const char* argument : arguments) {
    copies.push_back(const_cast<char*>(argument));
  }
  return parse_options(copies);
}

std::string_view error_of(std::vector<const char*> arguments) {
  static tender::Line line;
  const auto options = parse(std::move(arguments));
  line = options ? tender::Line{} : options.error();
  return line.text();
}

}  // namespace

TEST_CASE("usernet options: defaults") {
  const auto options = parse({"--fd=3"});
  REQUIRE(options);
  CHECK(options->descriptor == 3);
  CHECK(options->mtu == 1500);
  CHECK(options->host == Ipv4Address::of(10, 0, 2, 2));
  CHECK(options->dns == Ipv4Address::of(10, 0, 2, 3));
  CHECK(options->guest == Ipv4Address::of(10, 0, 2, 15));
  CHECK(options->forwards().empty());
}

TEST_CASE("usernet options: forwards and addresses") {
  const auto options = parse({"--fd=9", "--forward=tcp::8080:80", "--forward=udp:0.0.0.0:5353:53",
                              "--network=192.168.7.0/28", "--host=192.168.7.1", "--mtu=65521", "--host-loopback"});
  REQUIRE(options);
  REQUIRE(options->forwards().size() == 2);
  CHECK(options->forwards()[0].host == Ipv4Address::of(127, 0, 0, 1));
  CHECK(options->forwards()[0].host_port == 8080);
  CHECK_FALSE(options->forwards()[0].udp);
  CHECK(options->forwards()[1].udp);
  CHECK(options->forwards()[1].guest_port == 53);
  CHECK(options->host == Ipv4Address::of(192, 168, 7, 1));
  CHECK(options->guest == Ipv4Address::of(192, 168, 7, 14));
  CHECK(options->host_loopback);
}

TEST_CASE("usernet options: a forward from the first free port") {
  const auto options = parse({"--fd=9", "--forward=tcp::8080+:80", "--forward=tcp::8443:443"});
  REQUIRE(options);
  CHECK(options->forwards()[0].host_port == 8080);
  CHECK(options->forwards()[0].or_next);
  CHECK_FALSE(options->forwards()[1].or_next);
  for (const char* bad : {"--forward=tcp::+:80", "--forward=tcp::8080++:80", "--forward=tcp::8080:80+"}) {
    CHECK(error_of({"--fd=3", bad}).starts_with("a forward looks like"));
  }
}

TEST_CASE("usernet options: errors say what is wrong") {
  CHECK(error_of({}) == "which socket? --fd=N is missing");
  CHECK(error_of({"--fd=2"}) == "a descriptor is a number above 2, not '2'");
  CHECK(error_of({"--fd=3", "--mtu=65522"}) == "the MTU is a number from 576 to 65521, not '65522'");
  CHECK(error_of({"--fd=3", "--forward=tcp:8080:80"}) ==
        "a forward looks like tcp:127.0.0.1:8080:80, not 'tcp:8080:80'");
  CHECK(error_of({"--fd=3", "--forward=sctp::1:1"}).starts_with("a forward looks like"));
  CHECK(error_of({"--fd=3", "--guest=10.0.3.1"}).starts_with("--host, --guest and --dns must be"));
  CHECK(error_of({"--fd=3", "--guest=10.0.2.2"}) == "--host, --guest and --dns must differ");
  CHECK(error_of({"--fd=3", "--frob"}) == "unknown option '--frob' (see --help)");
  CHECK(error_of({"--fd=3", "--restrict", "--forward=udp::1:1"}) ==
        "with --restrict the guest cannot answer forwarded UDP");
  std::vector<const char*> many(Options::forward_limit + 2, "--forward=tcp::1:1");
  many[0] = "--fd=3";
  CHECK(error_of(many) == "more than 64 forwards");
}
