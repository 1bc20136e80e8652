// SPDX-License-Identifier: ISC
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/net.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/target/solo5/frame_device.hpp>

using namespace mirage;
using target::solo5::FrameDevice;
using target::solo5::NetProperties;
using target::solo5::Piece;

namespace {

std::string broken_rule(std::optional<std::string_view> outcome) { return std::string{outcome.value_or("no memory")}; }

using Frames = std::deque<std::vector<std::byte>>;

/// The tender's side as two queues of bytes, with the vnet header when there is one.
class Device final : public FrameDevice {
 public:
  Device(Shard& shard, Frames& in, Frames& out) : FrameDevice(shard), in_(in), out_(out) {}
  using FrameDevice::attach;

  std::size_t room = 1000;       // frames that the other side takes
  std::size_t largest = 70'000;  // what the host accepts
  std::size_t calls_with_pieces = 0;
  unsigned reads = 0;
  std::size_t pieces_of_last_read = 0;

 private:
  long read(std::span<const Piece> pieces) noexcept override {
    ++reads;
    pieces_of_last_read = pieces.size();
    if (in_.empty()) return would_block;
    const auto frame = std::move(in_.front());
    in_.pop_front();
    std::size_t at = 0;
    for (const Piece& piece : pieces) {
      const std::size_t part = std::min(piece.size, frame.size() - at);
      if (part != 0) std::memcpy(const_cast<void*>(piece.base), frame.data() + at, part);
      at += part;
    }
    return static_cast<long>(at);
  }
  long write(std::span<const Piece> pieces) noexcept override {
    if (out_.size() == room) return would_block;
    std::vector<std::byte> frame;
    for (const Piece& piece : pieces) {
      const auto* bytes = static_cast<const std::byte*>(piece.base);
      frame.insert(frame.end(), bytes, bytes + piece.size);
    }
    calls_with_pieces += pieces.size() > 1 ? 1 : 0;
    if (frame.size() > largest) return refused;
    out_.push_back(std::move(frame));
    return static_cast<long>(out_.back().size());
  }

  Frames& in_;
  Frames& out_;
};

struct World {
  explicit World(std::uint16_t mtu, bool scatter, bool vnet, std::size_t buffers = std::size_t{4} << 20)
      : shard{environment, ShardOptions{.buffer_bytes = buffers}} {
    const NetProperties properties{{2, 0, 0, 0, 0, 1}, mtu};
    REQUIRE(left.attach(properties, scatter, vnet));
    REQUIRE(right.attach(properties, scatter, vnet));
  }
  check::VirtualEnvironment environment;
  Shard shard;
  Frames to_left;
  Frames to_right;
  Device left{shard, to_left, to_right};
  Device right{shard, to_right, to_left};
};

/// A frame with a virtio_net_hdr in front.
std::vector<std::byte> with_header(std::array<std::uint8_t, 10> header, std::size_t size) {
  std::vector<std::byte> frame(header.size() + size);
  std::memcpy(frame.data(), header.data(), header.size());
  return frame;
}

std::size_t receive(Device& device, ReceivedFrame& frame) { return device.poll({&frame, 1}); }

}  // namespace

TEST_CASE("solo5 network: conforms with and without pieces, offloads, large frames") {
  for (const auto& [scatter, vnet] : {std::pair{false, false}, {true, false}, {true, true}}) {
    for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}}) {
      CAPTURE(scatter);
      CAPTURE(vnet);
      CAPTURE(mtu);
      const auto world = std::make_unique<World>(mtu, scatter, vnet);
      const auto before = world->shard.buffers().statistics().bytes_in_use;
      CHECK(broken_rule(run(world->shard, check::check_net(world->shard, world->left, world->right))) == "");
      CHECK(world->shard.buffers().statistics().bytes_in_use <= before + (std::size_t{66} << 11));
      CHECK((world->left.calls_with_pieces != 0) == scatter);
    }
  }
}

TEST_CASE("solo5 network: a small frame does not pin a large buffer") {
  for (const bool scatter : {false, true}) {
    const auto world = std::make_unique<World>(std::uint16_t{9000}, scatter, false);
    world->to_left.emplace_back(60);
    ReceivedFrame frame;
    REQUIRE(receive(world->left, frame) == 1);
    CHECK(frame.data[0].pinned() <= 2048);
    world->to_left.emplace_back(9014);
    REQUIRE(receive(world->left, frame) == 1);
    CHECK(frame.data.byte_count() == 9014);
  }
}

TEST_CASE("solo5 network: behind a small frame the next is read in one piece, whatever it is") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, true);
  ReceivedFrame frame;
  constexpr std::size_t whole = frame_capacity - 34;  // what a buffer for frames of the MTU holds behind its headroom
  std::size_t expected = 2;
  constexpr std::array<std::size_t, 14> sizes{60, 60,        320, 1514,   1514, 60,  whole,
                                              60, whole + 1, 60,  65'549, 60,   321, 60};
  for (const std::size_t size : sizes) {
    CAPTURE(size);
    auto sent = with_header({2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, size);
    for (std::size_t i = 10; i < sent.size(); ++i) sent[i] = static_cast<std::byte>(i * 7 + i / 251);
    world->to_left.push_back(sent);
    REQUIRE(receive(world->left, frame) == 1);
    CHECK(world->left.pieces_of_last_read == expected);
    CHECK(frame.offload.checksum_valid);
    std::vector<std::byte> got;
    for (const Slice& slice : frame.data) got.insert(got.end(), slice.bytes().begin(), slice.bytes().end());
    CHECK(std::ranges::equal(got, std::span{sent}.subspan(10)));
    if (size <= whole) CHECK(frame.data[0].pinned() <= 2048);
    expected = size <= 320 ? 1 : 2;
  }
}

TEST_CASE("solo5 network: offload headers from the host are checked against the frame") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, true);
  // flags, segmentation, header length, segment size, checksum start, checksum offset
  const std::array<std::array<std::uint8_t, 10>, 6> bad{{
      {1, 0, 0, 0, 0, 0, 13, 0, 6, 0},         // the checksum would begin in the Ethernet header
      {1, 0, 0, 0, 0, 0, 94, 0, 5, 0},         // and end behind the frame
      {1, 0, 0, 0, 0, 0, 255, 255, 255, 255},  // far behind it
      {0, 1, 54, 0, 100, 0, 34, 0, 16, 0},     // segmentation without a checksum to fill in
      {1, 1, 54, 0, 0, 0, 34, 0, 16, 0},       // segments of no size
      {1, 4, 54, 0, 0, 0, 34, 0, 16, 0},
  }};
  ReceivedFrame frame;
  for (const auto& header : bad) {
    world->to_left.push_back(with_header(header, 100));
    CHECK(receive(world->left, frame) == 0);
  }
  CHECK(world->left.statistics().bad_offload == bad.size());
  world->to_left.push_back(with_header({1, 0x81, 54, 0, 100, 0, 34, 0, 16, 0}, 100));  // with the ECN bit
  REQUIRE(receive(world->left, frame) == 1);
  CHECK(frame.offload.segmentation == Offload::Segmentation::tcp4);
  CHECK(frame.offload.segment_size == 100);
  CHECK(frame.offload.checksum_start == 34);
  world->to_left.push_back(with_header({2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 100));
  REQUIRE(receive(world->left, frame) == 1);
  CHECK(frame.offload.checksum_valid);
  CHECK_FALSE(frame.offload.needs_checksum);
}

TEST_CASE("solo5 network: offloads go to the host") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, true);
  TransmitFrame frame = check::detail::make_frame(world->shard, 1, 20'000, 54);
  frame.offload = {.needs_checksum = true,
                   .segmentation = Offload::Segmentation::tcp6,
                   .checksum_start = 54,
                   .checksum_offset = 16,
                   .segment_size = 1428,
                   .header_length = 74};
  CHECK(world->left.send({&frame, 1}) == 1);
  REQUIRE(world->to_right.size() == 1);
  const std::array<std::uint8_t, 10> expected{1, 4, 74, 0, 1428 & 255, 1428 >> 8, 54, 0, 16, 0};
  CHECK(world->to_right[0].size() == 20'010);
  CHECK(std::memcmp(world->to_right[0].data(), expected.data(), expected.size()) == 0);
}

TEST_CASE("solo5 network: a full queue keeps frames and wakes the loop, a refused one is dropped and counted") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, false);
  world->left.room = 1;
  std::array<TransmitFrame, 3> frames;
  for (auto& frame : frames) frame = check::detail::make_frame(world->shard, 1, 100, 54);
  CHECK(world->left.send(frames) == 1);
  CHECK(frames[1].header);
  CHECK(world->shard.next_deadline() != never);
  world->left.room = 1000;
  world->left.largest = 50;
  CHECK(world->left.send(std::span{frames}.subspan(1)) == 2);
  CHECK(world->left.statistics().refused == 2);
  CHECK(world->left.statistics().sent == 1);
}

TEST_CASE("solo5 network: without buffers frames are dropped and the device is drained") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, false, std::size_t{64} << 10);
  std::vector<MutableSlice> held;
  for (;;) {
    MutableSlice slice = world->shard.buffers().allocate(1000);
    if (!slice) break;
    held.push_back(std::move(slice));
  }
  for (int i = 0; i < 10; ++i) world->to_left.emplace_back(100);
  std::array<ReceivedFrame, 64> frames;
  CHECK(world->left.poll(frames) == 0);
  CHECK(world->to_left.empty());
  CHECK(world->left.statistics().no_buffer == 10);
  held.clear();
  world->to_left.emplace_back(100);
  CHECK(world->left.poll(frames) == 1);
}

TEST_CASE("solo5 network: a poll looks for as many frames as the last one found, and for more when there were more") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, false);
  std::array<ReceivedFrame, 32> frames;
  for (int i = 0; i < 100; ++i) world->to_left.emplace_back(100);
  std::vector<std::size_t> found;
  while (!world->to_left.empty()) {
    found.push_back(world->left.poll(frames));
    for (ReceivedFrame& frame : frames) frame = {};
  }
  CHECK(found == std::vector<std::size_t>{1, 2, 4, 8, 16, 32, 32, 5});
  world->to_left.emplace_back(100);
  CHECK(world->left.poll(frames) == 1);
  CHECK(world->left.poll(frames) == 0);
}

TEST_CASE("solo5 network: a poll behind one that found frames learns whether to look, and never says so twice") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, false);
  ReceivedFrame frame;
  unsigned looks = 0;
  for (int i = 0; i < 64; ++i) {  // a frame at a time, and nothing behind it
    world->to_left.emplace_back(100);
    REQUIRE(receive(world->left, frame) == 1);
    const unsigned before = world->left.reads;
    CHECK(receive(world->left, frame) == 0);
    looks += world->left.reads - before;
  }
  CHECK(looks <= 6);
  for (int i = 0; i < 200; ++i) world->to_left.emplace_back(100);
  unsigned nothing = 0;
  while (!world->to_left.empty()) {
    const bool found = receive(world->left, frame) != 0;
    nothing += found ? 0 : 1;
    if (!found) CHECK(receive(world->left, frame) == 1);
  }
  CHECK(nothing <= 16);
}

TEST_CASE(
    "solo5 network: the vnet header shares the frame's piece when there is headroom, and leaves the frame as it was") {
  const auto world = std::make_unique<World>(std::uint16_t{1500}, true, true);
  for (const std::uint32_t headroom : {0U, 9U, 10U, 64U}) {
    CAPTURE(headroom);
    TransmitFrame frame;
    frame.header = world->shard.buffers().allocate(60, headroom);
    frame.header.grow_back(60);
    world->left.room = world->to_right.size();
    CHECK(world->left.send({&frame, 1}) == 0);
    CHECK(frame.header.size() == 60);
    world->left.room = 1000;
    const std::size_t before = world->left.calls_with_pieces;
    REQUIRE(world->left.send({&frame, 1}) == 1);
    CHECK(world->to_right.back().size() == 70);
    CHECK((world->left.calls_with_pieces == before) == (headroom >= 10));
  }
}
