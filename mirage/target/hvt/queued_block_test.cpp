// SPDX-License-Identifier: ISC
// The guests' queue over a tender that is a piece of memory: it answers late, in any order, and takes few at once.
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/target/hvt/queued_block.hpp>

using namespace mirage;
using namespace mirage::target;

namespace {

constexpr std::size_t capacity = 128 << 10;

/// What devices of one tender share.
struct Tender {
  std::vector<std::byte> disk = std::vector<std::byte>(capacity);
  std::vector<hvt::BlockRequest> in_flight{};
  std::size_t room = hvt::block_queue_depth;
  std::size_t most = 0;  ///< in flight at once
  std::size_t calls = 0;
  std::size_t silent_calls = 0;  ///< so many first ones
  bool silent = false;
  bool broken = false;
  bool legal = true;

  bool serve(const hvt::BlockRequest& request) {
    legal = legal && request.handle == 1 && request.length != 0 && request.length <= 4096 &&
            request.offset <= capacity && request.length <= capacity - request.offset && request.data % 512 == 0;
    if (!legal || broken) return false;
    auto* memory = reinterpret_cast<std::byte*>(request.data);
    request.write != 0 ? std::memcpy(&disk[request.offset], memory, request.length)
                       : std::memcpy(memory, &disk[request.offset], request.length);
    return true;
  }
  void exchange(hvt::BlockQueueCall& call) {
    ++calls;
    const auto* requests = reinterpret_cast<const hvt::BlockRequest*>(call.requests);
    for (; call.started < call.request_count && in_flight.size() < room; ++call.started)
      in_flight.push_back(requests[call.started]);
    most = std::max(most, in_flight.size());
    if (silent || calls <= silent_calls) return;
    auto* completions = reinterpret_cast<hvt::BlockCompletion*>(call.completions);
    for (; !in_flight.empty() && call.completed < call.completion_count; in_flight.pop_back()) {
      const hvt::BlockRequest& last = in_flight.back();  // the last first
      completions[call.completed++] = {last.token, serve(last) ? 0 : 3, 0};
    }
  }
};

class Device final : public hvt::QueuedBlock {
 public:
  Device(Shard& shard, Tender& tender, const solo5::Extension& extension) : QueuedBlock(shard), tender_(tender) {
    solo5::ManifestEntry entry{};
    entry.block = {.capacity = capacity, .block_size = 512};
    describe(entry, 1, &extension, 4096);
    REQUIRE(use_queue(1));
  }
  std::size_t synchronous = 0;

 private:
  bool move(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept override {
    ++synchronous;
    to_device ? std::memcpy(&tender_.disk[offset], memory, size) : std::memcpy(memory, &tender_.disk[offset], size);
    return true;
  }
  bool flush_host() noexcept override { return true; }
  BlockResult punch(std::uint64_t offset, std::uint64_t size) noexcept override {
    std::fill_n(tender_.disk.begin() + static_cast<std::ptrdiff_t>(offset), size, std::byte{0});
    return {};
  }
  void exchange(hvt::BlockQueueCall& call) noexcept override { tender_.exchange(call); }
  Tender& tender_;
};

solo5::Extension extension(bool read_only = false) {
  solo5::Extension all{};
  all.granted = solo5::block_flush | solo5::block_discard | solo5::block_limits | solo5::block_queue;
  all.flush_devices = all.discard_devices = all.queue_devices = 2;
  all.read_only_devices = read_only ? 2 : 0;
  all.block_alignment = 512;
  return all;
}

struct alignas(512) Memory {
  std::array<std::byte, 16384> bytes{};
};

Task<void> read(Shard&, Device& device, std::uint64_t sector, MutableBytes to, std::optional<BlockResult>& result) {
  result = co_await device.read(sector, to);
}

Task<void> read_scatter(Shard&, Device& device, MutableBlockPieces to, std::optional<BlockResult>& result) {
  result = co_await device.read_scatter(0, to);
}

}  // namespace

TEST_CASE("hvt queue: conforms, with much room and little") {
  for (const std::size_t room : {1UZ, 3UZ, 64UZ}) {
    check::VirtualEnvironment environment;
    Shard shard{environment};
    Tender tender{.room = room};
    Device device{shard, tender, extension()};
    CHECK(device.geometry().queue_depth == 64);
    CHECK(run(shard, check::check_block(shard, device)) == std::string_view{});
    CHECK(tender.legal);
    CHECK(tender.calls != 0);
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Tender tender;
  Device device{shard, tender, extension(true)};
  CHECK(run(shard, check::check_read_only_block(shard, device)) == std::string_view{});
}

TEST_CASE("hvt queue: the requests of a turn are one call, and in flight together") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Tender tender;
  Device device{shard, tender, extension()};
  Scope scope{shard};
  static Memory memory;
  std::array<std::optional<BlockResult>, 20> results;
  for (std::size_t i = 0; i < results.size(); ++i)
    REQUIRE(scope.spawn(read(shard, device, i, MutableBytes{memory.bytes}.subspan(i * 512, 512), results[i])));
  (void)shard.turn();
  CHECK(tender.calls == 1);
  CHECK(tender.most == 20);
  (void)shard.turn();
  for (const auto& result : results) CHECK((result && result->has_value()));
  const std::size_t before = tender.calls;
  (void)shard.turn();
  CHECK(tender.calls == before);  // nothing in flight: nobody is asked
}

TEST_CASE("hvt queue: memory that direct I/O cannot use goes the other way") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Tender tender;
  Device device{shard, tender, extension()};
  static Memory memory;
  tender.disk[512] = std::byte{7};
  CHECK(run(shard, [](Shard&, Device& from) -> Task<bool> {
          co_return (co_await from.read(1, MutableBytes{memory.bytes}.subspan(8, 512))).has_value();
        }(shard, device)) == true);
  CHECK(memory.bytes[8] == std::byte{7});
  CHECK(device.synchronous == 1);
  CHECK(tender.calls == 0);
}

TEST_CASE("hvt queue: a failed request fails its operation once nothing of it is in flight, and no other") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Tender tender{.silent = true};
  Device device{shard, tender, extension()};
  Scope scope{shard};
  static Memory memory;
  std::optional<BlockResult> large;
  REQUIRE(scope.spawn(read(shard, device, 0, memory.bytes, large)));
  (void)shard.turn();
  CHECK(tender.in_flight.size() == 4);
  tender.silent = false;
  tender.broken = true;
  while (shard.turn()) {
  }
  REQUIRE(large);
  CHECK(large->error() == BlockError::io);
  tender.broken = false;
  std::optional<BlockResult> next;
  REQUIRE(scope.spawn(read(shard, device, 0, memory.bytes, next)));
  while (shard.turn()) {
  }
  CHECK((next && next->has_value()));
}

TEST_CASE("hvt queue: the loop does not sleep over what the tender has room for again") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  static Memory memory;
  std::array<MutableBytes, 200> pieces;
  pieces.fill(MutableBytes{memory.bytes}.first(512));
  std::array<std::optional<BlockResult>, 2> results;
  SUBCASE("more pieces than requests, which complete as they are started") {
    Tender tender;
    Device device{shard, tender, extension()};
    Scope scope{shard};
    REQUIRE(scope.spawn(read_scatter(shard, device, pieces, results[0])));
    while (shard.turn()) {
    }
    CHECK((results[0] && results[0]->has_value()));
  }
  SUBCASE("one found the tender full, and takes the completions of the other, which has had its turn") {
    Tender tender{.silent_calls = 4};
    Device one{shard, tender, extension()};
    Device two{shard, tender, extension()};
    Scope scope{shard};
    REQUIRE(scope.spawn(read_scatter(shard, one, std::span(pieces).first(100), results[0])));
    REQUIRE(scope.spawn(read(shard, two, 0, memory.bytes, results[1])));
    while (shard.turn()) {
    }
    for (const auto& result : results) CHECK((result && result->has_value()));
  }
}

TEST_CASE("hvt queue: devices share the tender, one may take the other's completions") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Tender tender{.room = 2, .silent = true};
  Device one{shard, tender, extension()};
  Device two{shard, tender, extension()};
  Scope scope{shard};
  static Memory memory;
  std::array<std::optional<BlockResult>, 6> results;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const MutableBytes to = MutableBytes{memory.bytes}.subspan(i * 512, 512);
    REQUIRE(scope.spawn(read(shard, i % 2 == 0 ? one : two, i, to, results[i])));
  }
  (void)shard.turn();
  CHECK(tender.in_flight.size() == 2);  // all of them the first one's
  tender.silent = false;
  for (int i = 0; i < 10; ++i) (void)shard.turn();
  for (const auto& result : results) CHECK((result && result->has_value()));
}
