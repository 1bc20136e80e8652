// SPDX-License-Identifier: ISC
// The offload shim under metadata of any kind, both ways: nothing is read or written beyond a frame, nothing leaks.
#include <cstdlib>

#include <mirage/device/offload/offload.hpp>
#include <mirage/net/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net::test;

namespace {

Offload metadata(Bytes bytes) {
  const auto flags = std::to_integer<unsigned>(bytes[0]);
  return {.needs_checksum = (flags & 1) != 0,
          .checksum_valid = (flags & 2) != 0,
          .segmentation = static_cast<Offload::Segmentation>(flags >> 2 & 3),
          .checksum_start = load_big<std::uint16_t>(bytes, 1),
          .checksum_offset = load_big<std::uint16_t>(bytes, 3),
          .segment_size = load_big<std::uint16_t>(bytes, 5),
          .header_length = load_big<std::uint16_t>(bytes, 7)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  if (input.size() < 12) return 0;
  const auto flags = std::to_integer<unsigned>(input[9]);
  TestEnvironment environment;
  Shard shard{environment};
  TestNet net{shard.buffers()};
  net.capabilities_.gather = (flags & 1) != 0;
  net.capabilities_.transmit_checksum = (flags & 2) != 0;
  net.capabilities_.receive_checksum = (flags & 4) != 0;
  net.capabilities_.coalesce = (flags & 8) != 0;
  device::Offload shim{shard, net};
  shim.adopt_capabilities();

  TransmitFrame frame;
  frame.offload = metadata(input);
  const Bytes content = input.subspan(12);
  const std::size_t head = std::min<std::size_t>(content.size(), std::to_integer<std::size_t>(input[10]));
  frame.header = shard.buffers().allocate(head);
  std::ranges::copy(content.first(head), frame.header.grow_back(static_cast<std::uint32_t>(head)).begin());
  const std::size_t piece = 1 + std::to_integer<std::size_t>(input[11]) * 16;
  for (Bytes rest = content.subspan(head); !rest.empty(); rest = rest.subspan(std::min(piece, rest.size()))) {
    if (!frame.payload.push_back(shard.buffers().copy(rest.first(std::min(piece, rest.size()))))) break;
  }
  net.room = std::size_t{1} + flags / 16;
  for (int offer = 0; offer < 4096 && shim.send({&frame, 1}) == 0; ++offer) net.room = 7;
  frame = {};

  net.arrive({content.begin(), content.end()}, metadata(input), piece);
  std::array<ReceivedFrame, 2> received;
  if (shim.poll(received) == 1) {
    const Offload& checked = received[0].offload;
    const std::size_t first = received[0].data[0].size();
    if (checked.needs_checksum && std::size_t{checked.checksum_start} + checked.checksum_offset + 2 > first) {
      std::abort();
    }
  }
  received = {};
  if (shard.buffers().statistics().bytes_in_use != 0) std::abort();
  return 0;
}
