// SPDX-License-Identifier: ISC
// Every line of a page is one that Prometheus' text format 0.0.4 allows, and every counter is there.
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/device/offload/offload.hpp>
#include <mirage/device/vnet/vnet.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/metrics/exporter.hpp>
#include <mirage/metrics/page.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/net/stack.hpp>

using namespace mirage;
using metrics::Page;

namespace {

struct Few {
  std::uint64_t first = 1;
  std::uint64_t second_one = 2;
};
enum class Why : std::uint8_t { because, therefore };

static_assert(detail::member_names_of<Few>.count == 2 && detail::member_names_of<Few>.items[1] == "second_one");
static_assert(detail::enumerator_names_of<Why, 2>[1] == "therefore");

bool is_name(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:") ==
         std::string_view::npos;
}

/// Sample lines by name and labels; fails on whatever the format does not allow.
std::map<std::string, std::uint64_t> parse(std::string_view text) {
  std::map<std::string, std::uint64_t> samples;
  std::set<std::string> families;
  std::string family;
  REQUIRE(text.ends_with('\n'));
  while (!text.empty()) {
    const std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(line.size() + 1);
    CAPTURE(line);
    if (line.starts_with("# TYPE ")) {
      const auto space = line.find(' ', 7);
      REQUIRE(space != std::string::npos);
      family = line.substr(7, space - 7);
      CHECK(is_name(family));
      CHECK(families.insert(family).second);  // all samples of a name stand together
      const std::string type = line.substr(space + 1);
      CHECK((type == "counter" || type == "gauge"));
      CHECK((type == "counter") == family.ends_with("_total"));
      continue;
    }
    const auto space = line.rfind(' ');
    REQUIRE(space != std::string::npos);
    const std::string key = line.substr(0, space);
    const std::string name = key.substr(0, key.find('{'));
    CHECK(name == family);
    if (name != key) {
      CHECK(key.substr(name.size()).starts_with("{module=\""));
      CHECK(key.ends_with("\"}"));
    }
    const auto value = parse_unsigned<std::uint64_t>(std::string_view(line).substr(space + 1));
    REQUIRE(value);
    CHECK(samples.emplace(key, *value).second);
  }
  return samples;
}

std::string text_of(const SliceList& slices) {
  std::string text;
  for (const Slice& slice : slices) text += slice.text();
  return text;
}

struct Bed {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

}  // namespace

TEST_CASE("counters by their members' names, several of a kind told apart") {
  Bed bed;
  const Few one;
  const Few two{7, 8};
  const std::array<std::uint64_t, 2> why{5, 6};
  Page page{bed.shard};
  page.counters("few", counters_of(one));
  page.counters("why", counters_by<Why>(why));
  page.counters("few", counters_of(two));
  page.gauge("few", "now", 9);
  const auto samples = parse(text_of(page.render()));
  CHECK(samples.at("mirage_few_first_total{module=\"0\"}") == 1);
  CHECK(samples.at("mirage_few_first_total{module=\"1\"}") == 7);
  CHECK(samples.at("mirage_few_second_one_total{module=\"1\"}") == 8);
  CHECK(samples.at("mirage_why_therefore_total") == 6);
  CHECK(samples.at("mirage_few_now") == 9);
  CHECK(samples.at("mirage_buffers_bytes_bound") == bed.shard.buffers().bound());
}

TEST_CASE("every counter of every layer of a stack") {
  Bed bed;
  device::Vnet wire{bed.shard, {.mtu = 1500, .offload = true}};
  device::Offload shim{bed.shard, wire.left()};
  net::Stack stack{bed.shard, shim, {}};
  Page page{bed.shard};
  page.add(stack);
  page.add(shim);
  page.add(bed);  // counts nothing
  const auto samples = parse(text_of(page.render()));
  for (const char* name : {"ethernet_received", "ip_drop_not_for_us", "icmp_echo_replies", "udp_drop_no_port",
                           "tcp_segments_in", "tcp_drop_out_of_window", "dhcp_leases", "offload_checksums"}) {
    CAPTURE(name);
    CHECK(samples.contains(std::string("mirage_") + name + "_total"));
  }
  CHECK(samples.at("mirage_tcp_connections") == 0);
  CHECK(samples.at("mirage_metrics_left_out") == 0);
  const auto before = bed.shard.buffers().statistics().bytes_in_use;
  const SliceList text = page.render();
  CAPTURE(text.byte_count());
  CHECK(bed.shard.buffers().statistics().bytes_in_use - before <= text.byte_count() + std::size_t{10} * 1024);
}

TEST_CASE("more than a page holds is counted; without memory there is no page") {
  Bed bed;
  const Few few;
  Page page{bed.shard};
  for (std::size_t i = 0; i < Page::maximum_sets + 2; ++i) page.counters("few", counters_of(few));
  const auto samples = parse(text_of(page.render()));
  CHECK(samples.at("mirage_metrics_left_out") == 2);
  check::VirtualEnvironment environment;
  Shard poor{environment, {.buffer_bytes = 4096, .frame_bytes = 4096}};
  Page none{poor};
  for (std::size_t i = 0; i < Page::maximum_sets; ++i) none.counters("few", counters_of(few));
  CHECK(none.render().empty());
  CHECK(poor.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("the handler") {
  Bed bed;
  device::Vnet wire{bed.shard, {.mtu = 1500, .offload = true}};
  net::Stack stack{bed.shard, wire.left(), {}};
  metrics::Handler handler{bed.shard, stack};
  static_assert(http::PlainHandler<decltype(handler)>);
}

namespace {

/// Asks for the counters, and keeps the connection; how long that took.
Task<void> scrape(Shard& shard, http::test::PipeTcp& tcp, std::vector<http::test::PipeFlow>& kept, Duration& took) {
  const Time begin = shard.now();
  auto flow = co_await tcp.connect({.address = {}, .port = 1});
  REQUIRE(flow);
  (void)co_await flow->write(SliceList{Slice::from_static("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")});
  const auto said = co_await flow->read();
  CHECK((said && !said->empty() && (*said)[0].text().starts_with("HTTP/1.1 200 ")));
  took = shard.now() - begin;
  kept.push_back(*std::move(flow));
}

}  // namespace

TEST_CASE("scrapers that keep their connections do not shut another one out") {
  Bed bed;
  device::Vnet wire{bed.shard, {.mtu = 1500, .offload = true}};
  net::Stack stack{bed.shard, wire.left(), {}};
  metrics::Handler handler{bed.shard, stack};
  http::test::PipeTcp tcp{bed.shard};
  http::Server server{bed.shard, tcp, handler, metrics::server_options()};
  auto body = [](Shard& shard, http::test::PipeTcp& to, auto& serving) -> Task<int> {
    Scope scope{shard};
    auto serve = [](auto& one) -> Task<void> { (void)co_await one.serve(1); };
    REQUIRE(scope.spawn(serve(serving)));
    co_await sleep(1ms);
    std::vector<http::test::PipeFlow> kept;
    for (int i = 0; i < 5; ++i) {
      Duration took{};
      co_await scrape(shard, to, kept, took);
      CHECK(took < 5s);
    }
    kept.clear();
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(bed.shard, body(bed.shard, tcp, server)) == 0);
}
