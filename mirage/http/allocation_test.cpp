// SPDX-License-Identifier: ISC
// The static path does without the allocator: what a request needs comes from the shard's pools and goes back there.
#include <cstddef>
#include <string_view>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>
#include <mirage/http/site.hpp>
#include <mirage/store/crunch/crunch.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

// Of the sanitizers' runtime, where the test is built with one; elsewhere only the pools' own figures are looked at.
extern "C" __attribute__((weak)) int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*,
                                                                                        std::size_t),
                                                                               void (*)(const volatile void*));

namespace {

std::size_t allocations = 0;

constexpr std::array<std::byte, 3000> content{};
constexpr std::array<CrunchFile, 1> files{{{"index.html", "text/html", "i1", content}}};
constexpr CrunchTable table{files};

/// A flow of endless requests, one a read; after `requests` of them the stream ends. Notes the pools' size on the way.
struct Requests {
  unsigned requests = 0;
  std::size_t settled_frames = 0;
  std::size_t settled_buffers = 0;
  std::size_t allocations_before = 0;
};
class RequestFlow {
 public:
  RequestFlow(Shard& shard, Requests& requests) noexcept : shard_(&shard), requests_(&requests) {}
  Ready<Result<SliceList, FlowError>> read() {
    const unsigned left = requests_->requests;
    if (left == 100) {
      requests_->settled_frames = shard_->frames().statistics().bytes_reserved;
      requests_->settled_buffers = shard_->buffers().statistics().bytes_reserved;
      requests_->allocations_before = allocations;
    }
    if (left == 0) {
      CHECK(allocations == requests_->allocations_before);
      CHECK(shard_->frames().statistics().bytes_reserved == requests_->settled_frames);
      CHECK(shard_->buffers().statistics().bytes_reserved == requests_->settled_buffers);
    }
    if (left == 0) return Ready{Result<SliceList, FlowError>{SliceList{}}};
    --requests_->requests;
    constexpr std::string_view text = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n";
    return Ready{Result<SliceList, FlowError>{SliceList{Slice::from_static(text)}}};
  }
  Ready<Result<void, FlowError>> write(SliceList slices) {
    written += slices.byte_count();
    return Ready{Result<void, FlowError>{}};
  }
  Ready<Result<void, FlowError>> write(Bytes) { return Ready{Result<void, FlowError>{}}; }
  void shutdown() noexcept {}
  void close() noexcept {}
  void abort() noexcept {}
  Endpoint peer() noexcept { return {}; }
  Endpoint local() noexcept { return {}; }
  std::uint32_t headroom() noexcept { return 0; }
  std::uint32_t tailroom() noexcept { return 0; }
  Shard& shard() noexcept { return *shard_; }
  std::size_t written = 0;

 private:
  Shard* shard_;
  Requests* requests_;
};

Task<int> serve(Shard& shard, Requests& requests, const ServerOptions& options, ServerCounters& counters) {
  store::Crunch crunch{shard, table};
  Site<store::Crunch> site{shard, crunch};
  DateCache date;
  Connection<RequestFlow, Site<store::Crunch>> connection{RequestFlow{shard, requests}, site, options, counters, date};
  (void)co_await connection.run();
  co_return 0;
}

}  // namespace

TEST_CASE("requests for static files take nothing from the allocator once the pools have settled") {
  if (__sanitizer_install_malloc_and_free_hooks != nullptr) {
    __sanitizer_install_malloc_and_free_hooks([](const volatile void*, std::size_t) { ++allocations; },
                                              [](const volatile void*) {});
    CHECK(allocations == 0);
    delete new int{1};
    CHECK(allocations == 1);
  }
  TestEnvironment environment;
  Shard shard{environment};
  const ServerOptions options;
  ServerCounters counters;
  Requests requests{.requests = 200};
  REQUIRE(run(shard, serve(shard, requests, options, counters)) == 0);
  CHECK(counters.requests == 200);
  CHECK(requests.settled_frames != 0);
}
