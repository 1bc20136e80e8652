// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <utility>

#include <mirage/device/offload/offload.hpp>
#include <mirage/wire/checksum.hpp>

namespace mirage::device {

namespace {

/// The Offload of module/net.hpp: its name is taken by the class here.
using Metadata = mirage::Offload;

constexpr std::uint32_t largest_packet = 0xffff;

}  // namespace

Task<Result<void, StartError>> Offload::start() {
  adopt_capabilities();
  co_return Result<void, StartError>{};
}

void Offload::adopt_capabilities() noexcept {
  const NetCapabilities& device = device_.capabilities();
  capabilities_ = device;
  pass_through_ = device.gather && device.transmit_checksum && device.segment_tcp4 && device.segment_tcp6;
  capabilities_.gather = true;
  capabilities_.transmit_checksum = true;
  capabilities_.segment_tcp4 = true;
  capabilities_.segment_tcp6 = true;
  if (!device.segment_tcp4) {
    capabilities_.maximum_frame = largest_packet + static_cast<std::uint32_t>(ethernet_header_size);
  }
}

// --- receive ---

std::size_t Offload::poll(std::span<ReceivedFrame> frames) noexcept {
  const std::size_t count = device_.queue(0).poll(frames);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!acceptable(frames[i])) {
      ++counters_.drop_bad_receive;
      frames[i] = {};
      continue;
    }
    if (kept != i) frames[kept] = std::move(frames[i]);
    ++kept;
  }
  return kept;
}

/// The ranges of VIRTIO 1.2 5.1.6.4.2: what the metadata points at lies within the frame, headers in its first slice.
bool Offload::acceptable(ReceivedFrame& frame) const noexcept {
  if (frame.data.empty()) return false;
  Metadata& offload = frame.offload;
  const std::size_t first = frame.data[0].size();
  if (!capabilities_.receive_checksum) offload.needs_checksum = offload.checksum_valid = false;
  if (offload.needs_checksum) {
    const std::size_t field = std::size_t{offload.checksum_start} + offload.checksum_offset;
    if (offload.checksum_start < ethernet_header_size || field + 2 > first) return false;
  }
  if (offload.segmentation == Metadata::Segmentation::none) return true;
  return capabilities_.coalesce && offload.segment_size > 0 && offload.header_length >= ethernet_header_size &&
         offload.header_length <= first;
}

// --- transmit ---

std::size_t Offload::send(std::span<TransmitFrame> frames) noexcept {
  if (pass_through_) return device_.queue(0).send(frames);
  std::size_t done = 0;
  while (done < frames.size()) {
    std::size_t run = 0;
    bool usable = true;
    while (done + run < frames.size() && !splits(frames[done + run])) {
      usable = adapt(frames[done + run]);
      if (!usable) break;
      ++run;
    }
    if (run > 0) {
      const std::size_t accepted = device_.queue(0).send(frames.subspan(done, run));
      done += accepted;
      if (accepted < run) return done;
    }
    if (done == frames.size()) break;
    if (usable && send_split(frames[done]) == Outcome::device_full) return done;
    frames[done] = {};
    ++done;
  }
  return done;
}

bool Offload::splits(const TransmitFrame& frame) const noexcept {
  const NetCapabilities& device = device_.capabilities();
  return (frame.offload.segmentation == Metadata::Segmentation::tcp4 && !device.segment_tcp4) ||
         (frame.offload.segmentation == Metadata::Segmentation::tcp6 && !device.segment_tcp6);
}

/// Changes a frame to one that the device can send; false when it must be dropped. Doing it twice changes nothing.
bool Offload::adapt(TransmitFrame& frame) noexcept {
  if (frame.offload.needs_checksum && !device_.capabilities().transmit_checksum && !fill_checksum(frame)) return false;
  return frame.payload.empty() || device_.capabilities().gather || linearise(frame);
}

bool Offload::fill_checksum(TransmitFrame& frame) noexcept {
  const std::size_t start = frame.offload.checksum_start;
  const std::size_t field = start + frame.offload.checksum_offset;
  if (field + 2 > frame.header.size()) {
    ++counters_.drop_malformed;
    return false;
  }
  wire::ChecksumSum sum;
  sum.add(std::as_const(frame.header).bytes().subspan(start));
  sum.add(frame.payload);
  // All ones instead of zero: the same number in one's complement, and for UDP zero would mean "none" (RFC 768).
  store_big(frame.header.bytes(), field, sum.checksum() == 0 ? std::uint16_t{0xffff} : sum.checksum());
  frame.offload.needs_checksum = false;
  ++counters_.checksums;
  return true;
}

bool Offload::linearise(TransmitFrame& frame) noexcept {
  const std::size_t size = frame.payload.byte_count();
  if (frame.header.tailroom() < size) {
    MutableSlice larger = shard_.buffers().allocate(frame.byte_count(), frame.header.headroom());
    if (!larger) {
      ++counters_.drop_no_memory;
      return false;
    }
    std::ranges::copy(std::as_const(frame.header).bytes(), larger.grow_back(frame.header.size()).begin());
    frame.header = std::move(larger);
  }
  for (const Slice& slice : frame.payload) {
    std::memcpy(frame.header.grow_back(slice.size()).data(), slice.data(), slice.size());
  }
  frame.payload.clear();
  ++counters_.linearised;
  counters_.copied_bytes += size;
  return true;
}

}  // namespace mirage::device
