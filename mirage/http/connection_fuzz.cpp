// SPDX-License-Identifier: ISC
// A whole connection with a Site behind it, fed arbitrary bytes in arbitrary pieces. Invariants: it ends within its
// deadlines, every pool is empty afterwards, and the first thing it says is a status line.
//
// Input: a byte of options (bit 0: the peer stays silent at the end instead of closing; bit 1: little memory for
// buffers; bit 2: little memory for frames), then pieces: a byte of length (0: a pause of 7 s) and as many bytes.
#include <cstdlib>

#include <mirage/http/connection.hpp>
#include <mirage/http/fuzz_peer_test.hpp>
#include <mirage/http/site.hpp>

using namespace mirage;
using namespace mirage::http::test;

namespace {

Task<int> serve(Shard& shard, Peer& peer) {
  store::Crunch crunch{shard, table};
  http::Site<store::Crunch> site{shard, crunch};
  http::ServerCounters counters;
  http::DateCache date;
  const http::ServerOptions options{.maximum_head = 600, .maximum_body = 5000, .listen = {}};
  http::Connection<PeerFlow, http::Site<store::Crunch>> connection{PeerFlow{shard, peer}, site, options, counters,
                                                                   date};
  (void)co_await connection.run();
  co_return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Peer peer{.script = std::as_bytes(std::span{data + 1, size - 1})};
  play(data[0], peer, size, serve);
  if (!peer.got.empty() && !peer.got.starts_with("HTTP/1.1 ")) std::abort();
  return 0;
}
