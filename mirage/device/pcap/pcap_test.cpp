// SPDX-License-Identifier: ISC
#include <cstring>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/loopback/loopback.hpp>
#include <mirage/device/pcap/capture.hpp>
#include <mirage/device/pcap/pcap.hpp>
#include <mirage/module/check/net.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/module/ready.hpp>

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

/// A file in memory, and the journal that nobody writes.
class MemoryFile {
 public:
  using Outcome = Result<void, FileError>;
  [[nodiscard]] FileTraits traits() const noexcept { return {}; }
  [[nodiscard]] std::uint64_t size() const noexcept { return content.size(); }
  Ready<Result<std::size_t, FileError>> read_at(std::uint64_t, MutableBytes) {
    return Ready{Result<std::size_t, FileError>{std::size_t{0}}};
  }
  Ready<Outcome> write_at(std::uint64_t offset, Bytes out) {
    if (offset + out.size() > limit) return Ready{Outcome{Failure{FileError::no_space}}};
    content.resize(std::max<std::size_t>(content.size(), offset + out.size()));
    std::ranges::copy(out, content.begin() + static_cast<std::ptrdiff_t>(offset));
    return Ready{Outcome{}};
  }
  Ready<Outcome> truncate(std::uint64_t size) {
    content.resize(size);
    return Ready{Outcome{}};
  }
  Ready<Outcome> sync() {
    synced = content.size();
    return Ready{Outcome{}};
  }
  std::vector<std::byte> content = std::vector<std::byte>(100);  // of an earlier capture
  std::size_t limit = SIZE_MAX;
  std::size_t synced = 0;
};

struct MemoryFiles {
  MemoryFile& data() noexcept { return data_; }
  MemoryFile& journal() noexcept { return journal_; }
  MemoryFile data_, journal_;
};
static_assert(JournaledFile<MemoryFiles>);

struct NoKeys {};

Task<> record(Shard&, device::Capture& capture, MemoryFiles& files, int& status) {
  status = co_await device::Recorder<device::Capture, MemoryFiles>::start(capture, files, NoKeys{});
}

struct Fixture {
  /// One frame of 100 bytes; the other end takes it.
  bool send(device::Capture& from) {
    TransmitFrame frame = check::detail::make_frame(shard, 3, 100, 54);
    std::array<ReceivedFrame, 1> received;
    return from.queue(0).send({&frame, 1}) == 1 && wire->right().poll(received) == 1;
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) (void)shard.turn();
  }
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

TEST_CASE_FIXTURE(Fixture, "capture: a file over the one before, durable within a second, frames or not") {
  device::Capture capture{shard, wire->left()};
  MemoryFiles files;
  int status = 0;
  Scope scope{shard};
  REQUIRE(scope.spawn(record(shard, capture, files, status)));
  turns(2);
  CHECK(files.data_.content.size() == 24);
  for (int i = 0; i < 3; ++i) CHECK(send(capture));
  turns(2);
  CHECK(files.data_.content.size() == 24 + 3 * (16 + 100));
  CHECK(files.data_.synced == 0);
  environment.now += 600ms;
  CHECK(send(capture));
  turns(2);
  CHECK(files.data_.synced == 0);
  environment.now += 600ms;
  CHECK(send(capture));
  turns(2);
  CHECK(files.data_.synced == 24 + 4 * (16 + 100));
  environment.now += 2s;
  turns(3);
  CHECK(files.data_.synced == files.data_.content.size());
  Memory same;
  const device::Pcap other{shard, wire->right(), same};
  CHECK(std::equal(same.content.begin(), same.content.end(), files.data_.content.begin()));
  scope.cancel();
  turns(2);
  CHECK(scope.running() == 0);
}

TEST_CASE_FIXTURE(Fixture, "capture: what finds no room is left out whole and counted; frames pass all the same") {
  device::Capture capture{shard, wire->left()};
  constexpr std::size_t fits = (device::CaptureBuffer::capacity - 24) / 116;
  for (std::size_t i = 0; i < fits + 50; ++i) REQUIRE(send(capture));
  CHECK(capture.buffer().counters().drop_records == 50);
  CHECK(capture.buffer().counters().bytes == 24 + fits * 116);
  MemoryFiles files;
  files.data_.limit = 24 + fits * 116 + 100;
  int status = 0;
  Scope scope{shard};
  REQUIRE(scope.spawn(record(shard, capture, files, status)));
  turns(3);
  CHECK(files.data_.content.size() == 24 + fits * 116);
  CHECK(send(capture));  // the file is full
  turns(3);
  CHECK(status == 1);
  CHECK(scope.running() == 0);
  CHECK(environment.console.contains("the capture ends: no space left"));
  CHECK(send(capture));
  CHECK(capture.buffer().counters().drop_records == 51);
}
