// SPDX-License-Identifier: ISC
#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/net/tcp/send_queue.hpp>

using namespace mirage;
using namespace mirage::net::tcp;

namespace {

std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 >> 3);
  return bytes;
}

}  // namespace

TEST_CASE("a large span is copied once: what leaves as one frame fits into a frame's pieces") {
  BufferPool buffers{std::size_t{1} << 20};
  NodePool nodes{100};
  SendQueue queue;
  const auto text = counting(60'000);
  CHECK(queue.append(nodes, buffers, text) == text.size());
  SliceList pieces;
  REQUIRE(queue.gather(0, 60'000, pieces));
  CHECK(pieces.byte_count() == text.size());
  std::size_t at = 0;
  for (const Slice& piece : pieces) {
    CHECK(std::ranges::equal(piece.bytes(), std::span{text}.subspan(at, piece.size())));
    at += piece.size();
  }
  queue.clear(nodes);
}

TEST_CASE("a large span is taken in small blocks where there is no large one") {
  BufferPool buffers{std::size_t{60} << 10};
  NodePool nodes{100};
  SendQueue queue;
  const auto text = counting(40'000);
  CHECK(queue.append(nodes, buffers, text) == text.size());
  std::vector<std::byte> out(text.size());
  queue.copy(0, out);
  CHECK(out == text);
  CHECK(buffers.statistics().failures == 0);  // nothing was asked for that could not be had
  queue.clear(nodes);
}
