// SPDX-License-Identifier: ISC
// A whole HTTP/2 connection with a Site behind it, fed arbitrary bytes in arbitrary pieces behind the preface (and
// without it, when the first byte says so). Invariants: it ends within its deadlines, every pool is empty afterwards.
//
// Input: a byte of options (bit 0: the peer stays silent at the end instead of closing; bit 1: little memory for
// buffers; bit 2: little memory for frames; bit 3: no preface), then pieces: a byte of length (0: a pause of 7 s) and
// as many bytes.
#include <mirage/http/fuzz_peer_test.hpp>
#include <mirage/http/h2/server.hpp>
#include <mirage/http/site.hpp>

using namespace mirage;
using namespace mirage::http::test;

namespace {

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

Task<int> serve(Shard& shard, Peer& peer) {
  store::Crunch crunch{shard, table};
  http::Site<store::Crunch> site{shard, crunch};
  using Either = http::h2::EitherConnection<PeerFlow, http::Site<store::Crunch>>;
  Either::Counters counters;
  http::DateCache date;
  const http::ServerOptions options{.maximum_head = 600, .maximum_body = 5000, .listen = {}};
  Either connection{PeerFlow{shard, peer}, site, options, counters, date};
  (void)co_await connection.run();
  co_return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Peer peer{.script = std::as_bytes(std::span{data + 1, size - 1}), .greeting = (data[0] & 8) == 0 ? preface : ""};
  play(data[0], peer, size, serve);
  return 0;
}
