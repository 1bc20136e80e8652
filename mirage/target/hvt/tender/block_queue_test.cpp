// SPDX-License-Identifier: ISC
// The queue and its hypercall over a file in memory. That has no direct I/O: the device only says so, and the ring is
// told to do what would wait by itself.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/hypercall.hpp>

namespace hvt = mirage::target::hvt;
namespace tender = mirage::tender;
using hvt::BlockCompletion;
using hvt::BlockQueue;
using hvt::BlockQueueCall;
using hvt::BlockRequest;

namespace {

constexpr std::uint64_t memory_size = 1 << 20;
constexpr std::uint64_t call_address = 0x1000;
constexpr std::uint64_t requests_address = 0x2000;
constexpr std::uint64_t completions_address = 0x4000;
constexpr std::uint64_t data_address = 0x10000;
constexpr std::uint64_t capacity = 128 * 512;
constexpr std::int32_t ok = 0;
constexpr std::int32_t invalid = 2;
constexpr std::int32_t unspecified = 3;

struct alignas(4096) Pages {
  std::array<std::byte, memory_size> bytes{};
};

struct Machine {
  /// `direct`: a file with direct I/O, where the file system here has it.
  explicit Machine(bool direct = false) {
    if (direct) disk = tender::File{::open(".", O_TMPFILE | O_RDWR | O_DIRECT, 0600)};
    if (!disk) disk = tender::File{::memfd_create("disk", 0)};
    REQUIRE(::ftruncate(disk.get(), capacity) == 0);
    devices[0].index = 2;
    devices[0].descriptor = disk.get();
    devices[0].block_size = 512;
    devices[0].capacity = capacity;
    devices[0].alignment = 512;
    devices[1] = devices[0];
    devices[1].index = 3;
    devices[1].alignment = 1;
    devices[2].index = 4;
    devices[2].is_net = true;
    available = queue.open(devices);
    if (!available) MESSAGE("not run: no io_uring here");
    REQUIRE((!available || waits.add(queue.descriptor(), 0)));
  }
  /// False: the guest is ended.
  bool call(BlockQueueCall& call, const std::vector<BlockRequest>& requests) {
    std::ranges::copy(std::as_bytes(std::span(requests)), bytes.begin() + requests_address);
    std::memcpy(bytes.data() + call_address, &call, sizeof(call));
    const bool good =
        calls.call(static_cast<unsigned>(hvt::Hypercall::block_queue), tender::GuestAddress{call_address}).has_value();
    std::memcpy(&call, bytes.data() + call_address, sizeof(call));
    return good;
  }
  /// Starts the requests and waits for their answers, by token.
  std::vector<std::int32_t> results(const std::vector<BlockRequest>& requests) {
    std::vector<std::int32_t> results(requests.size(), -1);
    BlockQueueCall first{
        requests_address, completions_address, static_cast<std::uint32_t>(requests.size()), 64, 0, 0, 0, 0};
    REQUIRE(call(first, requests));
    REQUIRE(first.result == ok);
    REQUIRE(first.started == requests.size());
    std::size_t done = note(first, results);
    while (done < requests.size()) {
      (void)waits.wait(1'000'000'000);
      BlockQueueCall more{0, completions_address, 0, 64, 0, 0, 0, 0};
      REQUIRE(call(more, {}));
      done += note(more, results);
    }
    return results;
  }
  std::size_t note(const BlockQueueCall& call, std::vector<std::int32_t>& results) {
    for (std::uint32_t i = 0; i < call.completed; ++i) {
      BlockCompletion done;
      std::memcpy(&done, bytes.data() + completions_address + i * sizeof(done), sizeof(done));
      REQUIRE(done.token < results.size());
      REQUIRE(results[done.token] == -1);
      results[done.token] = done.result;
    }
    return call.completed;
  }

  /// What the poll hypercall says within a second: whether there is nothing to take is to be `expected`.
  bool waits_for_nothing(bool expected) {
    hvt::PollCall poll{expected ? 1'000'000U : 1'000'000'000U, 0, 0, 0};
    std::memcpy(bytes.data() + call_address, &poll, sizeof(poll));
    const auto before = std::chrono::steady_clock::now();
    REQUIRE(calls.call(static_cast<unsigned>(hvt::Hypercall::poll), tender::GuestAddress{call_address}));
    const bool at_once = std::chrono::steady_clock::now() - before < std::chrono::milliseconds{500};
    std::memcpy(&poll, bytes.data() + call_address, sizeof(poll));
    return at_once && poll.ready_set == (expected ? 0U : 1U) && poll.ready_count == (expected ? 0 : 1);
  }

  bool available = false;
  std::unique_ptr<Pages> pages = std::make_unique<Pages>();
  std::span<std::byte> bytes{pages->bytes};
  tender::GuestMemory memory{bytes.data(), 0, memory_size};
  std::array<tender::AttachedDevice, 3> devices{};
  tender::File disk;
  hvt::WaitSet waits = std::move(*hvt::WaitSet::create());
  BlockQueue queue;  // before the memory goes, nothing is in flight
  hvt::Hypercalls calls{memory, devices, waits, ~std::uint64_t{0}, &queue};
};

}  // namespace

TEST_CASE("hvt block queue: what is written is read, all of it in flight together") {
  for (const bool direct : {false, true}) {
    Machine machine{direct};
    if (!machine.available) return;
    std::vector<BlockRequest> requests;
    for (std::uint64_t i = 0; i < 64; ++i) {
      std::memset(machine.bytes.data() + data_address + i * 1024, static_cast<int>(i + 1), 1024);
      requests.push_back({i, 2, i * 1024, data_address + i * 1024, 1024, 1, 0});
    }
    for (const std::int32_t result : machine.results(requests)) CHECK(result == ok);
    std::memset(machine.bytes.data() + data_address, 0, 64 * 1024);
    for (BlockRequest& request : requests) request.write = 0;
    for (const std::int32_t result : machine.results(requests)) CHECK(result == ok);
    for (std::uint64_t i = 0; i < 64; ++i) {
      CHECK(machine.bytes[data_address + i * 1024] == static_cast<std::byte>(i + 1));
      CHECK(machine.bytes[data_address + i * 1024 + 1023] == static_cast<std::byte>(i + 1));
    }
    CHECK(machine.queue.idle());
  }
}

TEST_CASE("hvt block queue: requests that leave the device, or are none, are answered and harm nobody") {
  Machine machine;
  if (!machine.available) return;
  machine.devices[0].read_only = false;
  constexpr std::uint64_t top = ~std::uint64_t{0};
  const std::vector<BlockRequest> requests{
      {0, 2, capacity, data_address, 512, 0, 0},  {1, 2, capacity - 512, data_address, 1024, 1, 0},
      {2, 2, top - 511, data_address, 512, 1, 0}, {3, 2, 512, data_address, top - 511, 1, 0},
      {4, 2, 0, data_address, 0, 0, 0},           {5, 2, 0, data_address, hvt::block_queue_length + 1, 0, 0},
      {6, 2, 0, data_address, 512, 2, 0},         {7, 3, 0, data_address, 512, 0, 0},  // no direct I/O: no queue
      {8, 4, 0, data_address, 512, 0, 0},                                              // a network
      {9, 0, 0, data_address, 512, 0, 0},         {10, top, 0, data_address, 512, 0, 0},
      {11, 2, 0, data_address, 512, 0, 0}};
  const auto results = machine.results(requests);
  for (std::size_t i = 0; i < 11; ++i) {
    CAPTURE(i);
    CHECK(results[i] == invalid);
  }
  CHECK(results[11] == ok);
  machine.devices[0].read_only = true;
  CHECK(machine.results({{0, 2, 0, data_address, 512, 1, 0}})[0] == invalid);
  CHECK(::lseek(machine.disk.get(), 0, SEEK_END) == static_cast<off_t>(capacity));
}

TEST_CASE("hvt block queue: a file that has become shorter is an error, not an end") {
  Machine machine;
  if (!machine.available) return;
  REQUIRE(::ftruncate(machine.disk.get(), 1024) == 0);
  const auto results = machine.results({{0, 2, 512, data_address, 1024, 0, 0},
                                        {1, 2, 2048, data_address, 512, 0, 0},
                                        {2, 2, 0, data_address, 512, 0, 0}});
  CHECK(results == std::vector<std::int32_t>{unspecified, unspecified, ok});
}

TEST_CASE("hvt block queue: memory and tables outside of the guest end it") {
  const auto ends = [](std::uint64_t data, std::uint64_t requests, std::uint64_t completions) {
    Machine machine;
    if (!machine.available)
      return data != data_address || requests != requests_address || completions != completions_address;
    BlockQueueCall call{requests, completions, 1, 1, 0, 0, 0, 0};
    return !machine.call(call, {{0, 2, 0, data, 512, 0, 0}});
  };
  CHECK_FALSE(ends(data_address, requests_address, completions_address));
  for (const std::uint64_t outside : {memory_size, memory_size - 8, ~std::uint64_t{0} - 7}) {
    CHECK(ends(outside, requests_address, completions_address));
    CHECK(ends(data_address, outside, completions_address));
    CHECK(ends(data_address, requests_address, outside));
  }
}

TEST_CASE("hvt block queue: memory and tables that the tender cannot read or write end the guest") {
  constexpr std::uint64_t read_only = 0x8000;
  constexpr std::uint64_t inaccessible = 0xc000;
  Machine machine;
  if (!machine.available) return;
  REQUIRE(machine.memory.protect(tender::GuestAddress{read_only}, tender::page_size, PROT_READ));
  REQUIRE(machine.memory.protect(tender::GuestAddress{inaccessible}, tender::page_size, PROT_NONE));
  const auto ends = [&](std::uint64_t data, std::uint32_t write, std::uint64_t requests, std::uint64_t completions) {
    BlockQueueCall call{requests, completions, 1, 1, 0, 0, 0, 0};
    return !machine.call(call, {{0, 2, 0, data, 512, write, 0}});
  };
  CHECK_FALSE(ends(data_address, 0, requests_address, completions_address));
  CHECK_FALSE(ends(read_only, 1, requests_address, completions_address));
  CHECK_FALSE(ends(data_address, 0, read_only, completions_address));
  CHECK(ends(read_only, 0, requests_address, completions_address));
  CHECK(ends(data_address, 0, requests_address, read_only));
  for (const std::uint64_t closed : {inaccessible, inaccessible - 8}) {
    CHECK(ends(closed, 0, requests_address, completions_address));
    CHECK(ends(closed, 1, requests_address, completions_address));
    CHECK(ends(data_address, 0, closed, completions_address));
    CHECK(ends(data_address, 0, requests_address, closed));
  }
  ::mprotect(machine.bytes.data(), memory_size, PROT_READ | PROT_WRITE);
}

TEST_CASE("hvt block queue: at most 64, completions that are not taken included; numbers beyond are refused") {
  Machine machine;
  if (!machine.available) return;
  const std::vector<BlockRequest> requests(64, BlockRequest{0, 0, 0, 0, 0, 0, 0});  // none is good
  BlockQueueCall call{requests_address, completions_address, 40, 0, 0, 0, 0, 0};
  REQUIRE(machine.call(call, requests));
  CHECK(call.started == 40);
  CHECK(call.completed == 0);
  call.started = 0;
  REQUIRE(machine.call(call, requests));
  CHECK(call.started == 24);
  call = {requests_address, completions_address, 1, 64, 0, 0, 0, 0};
  REQUIRE(machine.call(call, requests));
  CHECK(call.started == 0);
  CHECK(call.completed == 64);
  for (const auto& [started, completed] : {std::pair{65U, 1U}, std::pair{1U, 65U}, std::pair{~0U, ~0U}}) {
    call = {requests_address, completions_address, started, completed, 0, 0, 0, 0};
    REQUIRE(machine.call(call, requests));
    CHECK(call.result == invalid);
    CHECK(call.started == 0);
  }
}

TEST_CASE("hvt block queue: a completion ends the wait also when the guest has taken others and left it") {
  Machine machine;
  if (!machine.available) return;
  const std::vector<BlockRequest> requests(3, BlockRequest{0, 2, 0, data_address, 512, 0, 0});
  BlockQueueCall call{requests_address, completions_address, 3, 0, 0, 0, 0, 0};
  REQUIRE(machine.call(call, requests));
  for (const std::uint64_t left : {3U, 2U, 1U}) {
    CAPTURE(left);
    CHECK(machine.waits_for_nothing(false));
    call = {0, completions_address, 0, 1, 0, 0, 0, 0};
    REQUIRE(machine.call(call, {}));
    CHECK(call.completed == 1);
  }
  CHECK(machine.waits_for_nothing(true));
}

TEST_CASE("hvt block queue: without a grant the call ends the guest") {
  Machine machine;
  hvt::Hypercalls calls{machine.memory, machine.devices, machine.waits, 0};
  CHECK_FALSE(calls.call(static_cast<unsigned>(hvt::Hypercall::block_queue), tender::GuestAddress{call_address}));
}

// What the kernel holds against a tender that a guest has taken over.
TEST_CASE("hvt block queue: nothing more can be registered with the ring, no other file be opened by it") {
  Machine machine;
  if (!machine.available) return;
  const int other = ::memfd_create("other", 0);
  CHECK(::syscall(SYS_io_uring_register, machine.queue.descriptor(), IORING_REGISTER_FILES, &other, 1) < 0);
  CHECK(::syscall(SYS_io_uring_register, machine.queue.descriptor(), IORING_UNREGISTER_FILES, nullptr, 0) < 0);
  ::close(other);
}
