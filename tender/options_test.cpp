// SPDX-License-Identifier: ISC
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <tender/options.hpp>

using namespace mirage::tender;

namespace {

/// argv from literals; parse_options keeps pointers into it.
struct Arguments {
  explicit Arguments(std::vector<std::string> given) : words(std::move(given)) {
    for (std::string& word : words) pointers.push_back(word.data());
  }
  std::vector<std::string> words;
  std::vector<char*> pointers;
};

std::string error_of(std::vector<std::string> words) {
  const Arguments arguments{std::move(words)};
  const auto options = parse_options(arguments.pointers);
  return options ? "accepted" : std::string{options.error().text()};
}

bool refused(std::vector<std::string> words, std::string_view text) {
  return error_of(std::move(words)).find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("options, image and the guest's arguments") {
  const Arguments arguments{{"--mem=64", "--net:service=tap0", "--net-mac:service=02:00:00:00:00:0a",
                             "--block-sector-size:disk=4096", "--block:disk=/tmp/a=b", "--net-mtu:service=9000", "--",
                             "image.spt", "--mem=5", "x"}};
  const auto options = parse_options(arguments.pointers);
  REQUIRE(options);
  CHECK(options->memory_size == 64U << 20);
  CHECK(std::string{options->kernel} == "image.spt");
  REQUIRE(options->arguments.size() == 2);
  REQUIRE(options->devices().size() == 2);
  const DeviceOption& net = options->devices()[0];
  CHECK(net.is_net);
  CHECK(net.name == "service");
  CHECK(std::string{net.source} == "tap0");
  CHECK(net.mac == MacAddress{2, 0, 0, 0, 0, 10});
  CHECK(net.mtu == 9000);
  const DeviceOption& block = options->devices()[1];
  CHECK(std::string{block.source} == "/tmp/a=b");
  CHECK(block.block_size == 4096);
  std::array<std::byte, 10> joined;
  REQUIRE(join_arguments(options->arguments, joined));
  CHECK(std::string{reinterpret_cast<const char*>(joined.data())} == "--mem=5 x");
  CHECK(!join_arguments(options->arguments, std::span{joined}.first(9)));
}

TEST_CASE("help and version end the parsing") {
  CHECK(parse_options(Arguments{{"--mem=4", "--help", "--nonsense"}}.pointers)->help);
  CHECK(parse_options(Arguments{{"--version"}}.pointers)->version);
}

TEST_CASE("defaults") {
  const auto options = parse_options(Arguments{{"a"}}.pointers);
  REQUIRE(options);
  CHECK(options->memory_size == 512U << 20);
  CHECK(options->arguments.empty());
}

TEST_CASE("errors name the option and the mend") {
  CHECK(refused({}, "no image"));
  CHECK(refused({"--"}, "no image"));
  CHECK(refused({"--mem=1", "a"}, "at least 2"));
  CHECK(refused({"--mem=", "a"}, "MiB"));
  CHECK(refused({"--mem=-4", "a"}, "MiB"));
  CHECK(refused({"--mem=4M", "a"}, "MiB"));
  CHECK(refused({"--mem=18446744073709551615", "a"}, "MiB"));
  CHECK(refused({"-x", "a"}, "unknown option '-x'"));
  CHECK(refused({"--net:service", "a"}, "write --net:NAME=VALUE"));
  CHECK(refused({"--net:service=", "a"}, "malformed"));
  CHECK(refused({"--net-mac:n=02:00:00:00:00:01", "a"}, "add --net:n=IFACE"));
  CHECK(refused({"--block-sector-size:d=512", "a"}, "add --block:d=FILE"));
  CHECK(refused({"--net:n=t", "--net-mac:n=02:00:00:00:00", "a"}, "MAC"));
  CHECK(refused({"--net:n=t", "--net-mac:n=02:00:00:00:00:01:02", "a"}, "MAC"));
  CHECK(refused({"--net:n=t", "--net-mac:n=002:0:0:0:0:1", "a"}, "MAC"));
  CHECK(refused({"--net:n=t", "--net-mac:n=03:00:00:00:00:01", "a"}, "group"));
  CHECK(refused({"--net:n=t", "--net-mtu:n=67", "a"}, "68 to 65535"));
  CHECK(refused({"--net:n=t", "--net-mtu:n=65536", "a"}, "68 to 65535"));
  CHECK(refused({"--block:d=f", "--block-sector-size:d=65536", "a"}, "power of two"));
  CHECK(refused({"--block:d=f", "--block-sector-size:d=513", "a"}, "power of two"));
  CHECK(refused({"--block:d=f", "--block-direct:d=yes", "a"}, "'on' or 'off', not 'yes'"));
  std::vector<std::string> many;
  for (int i = 0; i < 65; ++i) many.push_back("--net:n" + std::to_string(i) + "=t");
  CHECK(refused(many, "more than 64 devices"));
}

TEST_CASE("options of one tender") {
  static std::string value;
  const ExtraOption extra[] = {{"--dump=", "--dump=DIR", "help",
                                [](void*, const char* text) {
                                  value = text;
                                  return Result<>{};
                                }},
                               {"--fail", "--fail", "help", [](void*, const char*) { return Result<>{fail("no")}; }}};
  CHECK(parse_options(Arguments{{"--dump=there", "a"}}.pointers, extra));
  CHECK(value == "there");
  CHECK(!parse_options(Arguments{{"--fail", "a"}}.pointers, extra));
  CHECK(!parse_options(Arguments{{"--failure", "a"}}.pointers, extra));
}
