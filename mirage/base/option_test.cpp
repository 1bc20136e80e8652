// SPDX-License-Identifier: ISC
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/base/option.hpp>

namespace mirage {
namespace {

struct Keys {
  std::uint16_t port = 80;
  bool verbose = false;
  std::string_view name = "none";
  Duration delay{};
};

#define ASSIGN(member) \
  [](void* keys, std::string_view text) noexcept { return parse_value(text, static_cast<Keys*>(keys)->member); }
constexpr OptionRow options[] = {
    {"port", "a number from 0 to 65535", "80", "TCP port to listen on", Option::Form::value, ASSIGN(port)},
    {"verbose", "true or false", "false", "say more", Option::Form::flag, ASSIGN(verbose)},
    {"name", "text", "", "whom to greet", Option::Form::required, ASSIGN(name)},
    {"delay", "a duration such as 500ms", "0s", "wait first", Option::Form::value, ASSIGN(delay)},
};
#undef ASSIGN

struct Lines final : LogSink {
  void write_line(std::string_view line) noexcept override { text += std::string(line) + "\n"; }
  std::string text;
};

struct Outcome {
  OptionOutcome outcome;
  Keys keys;
  std::string text;
};

Outcome parse(std::vector<const char*> words) {
  Keys keys;
  Lines lines;
  std::vector<char*> arguments;
  for (const char* word : words) arguments.push_back(const_cast<char*>(word));
  const auto outcome = parse_options("greeter", options, arguments, &keys, lines);
  return {outcome, keys, lines.text};
}

TEST_CASE("values with = and as a word of their own, flags with and without a value") {
  const auto given = parse({"--port=8080", "--name", "Ada", "--verbose", "--delay=1500ms"});
  CHECK(given.outcome == OptionOutcome::ready);
  CHECK(given.keys.port == 8080);
  CHECK(given.keys.name == "Ada");
  CHECK(given.keys.verbose);
  CHECK(given.keys.delay == 1500ms);
  CHECK(!parse({"--name=x", "--verbose", "--verbose=false"}).keys.verbose);
  CHECK(parse({"--name="}).keys.name.empty());
}

TEST_CASE("errors name the option and the mend") {
  CHECK(parse({"--prot=1"}).text == "greeter: unknown option --prot (did you mean --port?)\n");
  CHECK(parse({"--zzzzzzz"}).text == "greeter: unknown option --zzzzzzz (--help lists the options)\n");
  CHECK(parse({"--port=65536"}).text == "greeter: bad value '65536' for --port: expected a number from 0 to 65535\n");
  CHECK(parse({"--port"}).text == "greeter: option --port needs a value: a number from 0 to 65535\n");
  CHECK(parse({}).text == "greeter: missing option --name: whom to greet (text)\n");
  CHECK(parse({"port"}).text == "greeter: unexpected argument 'port': options begin with --\n");
  CHECK(parse({}).outcome == OptionOutcome::usage);
}

TEST_CASE("--help lists every option") {
  const auto given = parse({"--help"});
  CHECK(given.outcome == OptionOutcome::help);
  CHECK(given.text ==
        "greeter: options\n"
        "  --port=VALUE           TCP port to listen on; a number from 0 to 65535 (default: 80)\n"
        "  --verbose              say more; true or false (default: false)\n"
        "  --name=VALUE           whom to greet; text (required)\n"
        "  --delay=VALUE          wait first; a duration such as 500ms (default: 0s)\n");
}

template <class T>
bool accepts(std::string_view text) {
  T value{};
  return parse_value(text, value);
}

TEST_CASE("bounds of integers and durations") {
  CHECK(accepts<std::uint8_t>("255"));
  CHECK(!accepts<std::uint8_t>("256"));
  CHECK(accepts<std::int8_t>("-128"));
  CHECK(!accepts<std::int8_t>("-129"));
  CHECK(!accepts<std::int8_t>("128"));
  CHECK(accepts<std::int64_t>("-9223372036854775808"));
  CHECK(!accepts<std::uint64_t>("18446744073709551616"));
  CHECK(!accepts<std::int32_t>(""));
  CHECK(!accepts<std::int32_t>("-"));
  CHECK(accepts<Duration>("2562047h"));
  CHECK(!accepts<Duration>("2562048h"));
  CHECK(!accepts<Duration>("5 s"));
  CHECK(!accepts<Duration>("-5s"));
  CHECK(!accepts<Duration>("s"));
  CHECK(accepts<Ipv4Prefix>("10.0.0.2/24"));
  CHECK(!accepts<Ipv4Prefix>("10.0.0.2"));
  CHECK(!accepts<Ipv4Address>("10.0.0.256"));
}

}  // namespace
}  // namespace mirage
