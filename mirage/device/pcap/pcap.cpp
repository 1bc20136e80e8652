// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/device/pcap/pcap.hpp>

namespace mirage::device {

namespace {

/// Fields of a record's or the file's header, in the byte order of the machine as the magic number tells.
template <std::size_t Count>
void write_words(CaptureSink& sink, const std::array<std::uint32_t, Count>& words) noexcept {
  sink.write(std::as_bytes(std::span{words}));
}

constexpr std::uint32_t magic_nanoseconds = 0xa1b23c4d;
constexpr std::uint32_t link_ethernet = 1;

}  // namespace

Pcap::Pcap(Shard& shard, NetPort device, CaptureSink& sink) noexcept
    : shard_(shard),
      device_(device),
      sink_(sink),
      wall_offset_(shard.wall().time_since_epoch() - shard.now().time_since_epoch()) {
  const std::array<std::uint16_t, 2> version{2, 4};
  if (!sink_.begin(24)) return;
  write_words(sink_, std::array{magic_nanoseconds});
  sink_.write(std::as_bytes(std::span{version}));
  write_words(sink_, std::array{0U, 0U, snapshot_length, link_ethernet});
}

bool Pcap::begin_record(std::size_t size) noexcept {
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t time = std::max<std::int64_t>((shard_.now().time_since_epoch() + wall_offset_).count(), 0);
  const auto length = static_cast<std::uint32_t>(size);
  if (!sink_.begin(16 + std::min(length, snapshot_length))) return false;
  write_words(sink_, std::array{static_cast<std::uint32_t>(time / second), static_cast<std::uint32_t>(time % second),
                                std::min(length, snapshot_length), length});
  return true;
}

void Pcap::record(Bytes front, const SliceList& rest) noexcept {
  if (!begin_record(front.size() + rest.byte_count())) return;
  ++recorded_;
  std::size_t left = snapshot_length;
  const auto write = [&](Bytes bytes) noexcept {
    sink_.write(bytes.first(std::min(left, bytes.size())));
    left -= std::min(left, bytes.size());
  };
  if (!front.empty()) write(front);
  for (const Slice& slice : rest) write(slice.bytes());
}

std::size_t Pcap::poll(std::span<ReceivedFrame> frames) noexcept {
  const std::size_t count = device_.queue(0).poll(frames);
  for (const ReceivedFrame& frame : frames.first(count)) record({}, frame.data);
  return count;
}

std::size_t Pcap::send(std::span<TransmitFrame> frames) noexcept {
  // One by one: only what the device accepts is recorded, and accepting takes the frame away.
  std::size_t count = 0;
  for (TransmitFrame& frame : frames) {
    const std::size_t size = std::min<std::size_t>(frame.header.size(), header_.size());
    std::ranges::copy(frame.header.bytes().first(size), header_.begin());
    const SliceList payload = frame.payload;
    if (device_.queue(0).send({&frame, 1}) == 0) break;
    record(Bytes{header_}.first(size), payload);
    ++count;
  }
  return count;
}

}  // namespace mirage::device
