// SPDX-License-Identifier: ISC
#include <cstring>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/loopback/loopback.hpp>
#include <mirage/device/pcap/pcap.hpp>
#include <mirage/module/check/net.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;

namespace {

std::string broken_rule(std::optional<std::string_view> outcome) { return std::string{outcome.value_or("no memory")}; }

class Memory final : public device::CaptureSink {
 public:
  void write(Bytes bytes) noexcept override { content.insert(content.end(), bytes.begin(), bytes.end()); }
  [[nodiscard]] std::uint32_t word(std::size_t offset) const {
    std::uint32_t value = 0;
    REQUIRE(offset + sizeof value <= content.size());
    std::memcpy(&value, content.data() + offset, sizeof value);
    return value;
  }
  std::vector<std::byte> content;
};

struct Fixture {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  std::unique_ptr<device::Loopback> wire = std::make_unique<device::Loopback>(shard);
  Memory capture;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "pcap: a device like the one it wraps") {
  device::Pcap left{shard, wire->left(), capture};
  CHECK(broken_rule(run(shard, check::check_net(shard, left, wire->right()))) == "");
  CHECK(left.recorded() == 2 * 3 * 6 + 1 + 1);  // frames both ways; the one too long was accepted too
}

TEST_CASE_FIXTURE(Fixture, "pcap: the file") {
  device::Pcap left{shard, wire->left(), capture};
  REQUIRE(capture.content.size() == 24);
  CHECK(capture.word(0) == 0xa1b23c4d);
  CHECK(capture.word(16) == device::Pcap::snapshot_length);
  CHECK(capture.word(20) == 1);
  environment.now += 1500ms;
  (void)shard.turn();
  TransmitFrame frame = check::detail::make_frame(shard, 3, 100, 54);
  REQUIRE(left.send({&frame, 1}) == 1);
  CHECK(capture.content.size() == 24 + 16 + 100);
  CHECK(capture.word(24) == 1'700'000'002);
  CHECK(capture.word(28) == 500'000'000);
  CHECK(capture.word(32) == 100);
  CHECK(capture.word(36) == 100);
  std::array<ReceivedFrame, 1> received;
  REQUIRE(wire->right().poll(received) == 1);
  std::vector<std::byte> bytes;
  for (const Slice& slice : received[0].data) bytes.insert(bytes.end(), slice.bytes().begin(), slice.bytes().end());
  CHECK(std::equal(bytes.begin(), bytes.end(), capture.content.begin() + 40));
}

TEST_CASE_FIXTURE(Fixture, "pcap: a frame that the device does not take is not recorded") {
  device::Pcap left{shard, wire->left(), capture};
  std::uint64_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    TransmitFrame frame = check::detail::make_frame(shard, 3, 60, 14);
    sent += left.send({&frame, 1});
  }
  CHECK(sent == 128);
  CHECK(left.recorded() == sent);
}
