// SPDX-License-Identifier: ISC
// A whole HTTP/2 connection with a Site behind it, fed arbitrary bytes in arbitrary pieces behind the preface (and
// without it, when the first byte says so). Invariants: it ends within its deadlines, every pool is empty afterwards.
//
// Input: a byte of options (bit 0: the peer stays silent at the end instead of closing; bit 1: little memory for
// buffers; bit 2: little memory for frames; bit 3: no preface), then pieces: a byte of length (0: a pause of 7 s) and
// as many bytes.
#include <array>
#include <cstdlib>
#include <string>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/http/h2/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/store/crunch/crunch.hpp>

using namespace mirage;

namespace {

class FuzzEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{784111777s} + now.time_since_epoch(); }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time deadline) noexcept override {
    if (deadline == never) std::abort();  // nothing would ever wake it
    now = deadline;
  }
  void write_console(std::string_view) noexcept override {}
  Time now{1s};
};

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Peer {
  Bytes script;
  bool silent = false;
  std::string got;
  bool aborted = false;
  bool greets = true;
  WaitQueue gone{};  ///< a reader waits here for the end of the flow
};

class PeerFlow {
 public:
  PeerFlow(Shard& shard, Peer& peer) noexcept : shard_(&shard), peer_(&peer) {}
  Task<Result<SliceList, FlowError>> read() {
    if (std::exchange(peer_->greets, false)) co_return SliceList{Slice::from_static(preface)};
    while (!peer_->script.empty() && !peer_->aborted) {
      const auto size = std::to_integer<std::size_t>(peer_->script[0]);
      peer_->script = peer_->script.subspan(1);
      if (size == 0) {
        if (co_await sleep(7s) == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
        continue;
      }
      const Bytes piece = peer_->script.first(size < peer_->script.size() ? size : peer_->script.size());
      peer_->script = peer_->script.subspan(piece.size());
      if (piece.empty()) break;
      // Every second byte a slice of its own when the piece is long: lists with several slices.
      SliceList list;
      for (std::size_t at = 0; at < piece.size();) {
        const std::size_t count = list.size() < 4 && piece.size() > 100 ? 2 : piece.size() - at;
        const Slice slice =
            shard_->buffers().copy(piece.subspan(at, count < piece.size() - at ? count : piece.size() - at));
        if (slice.empty()) co_return Failure{FlowError::no_memory};
        at += slice.size();
        if (!list.push_back(slice)) std::abort();
      }
      co_return list;
    }
    while (peer_->silent && !peer_->aborted) {
      if (co_await peer_->gone.wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
    }
    if (peer_->aborted) co_return Failure{FlowError::reset};
    co_return SliceList{};
  }
  Ready<Result<void, FlowError>> write(SliceList slices) {
    for (const Slice& slice : slices) peer_->got += slice.text();
    return Ready{Result<void, FlowError>{}};
  }
  Ready<Result<void, FlowError>> write(Bytes bytes) {
    peer_->got += as_text(bytes);
    return Ready{Result<void, FlowError>{}};
  }
  void shutdown() noexcept {}
  void close() noexcept {}
  /// As a flow does: who reads it, learns that it is gone.
  void abort() noexcept {
    peer_->aborted = true;
    peer_->gone.notify_all();
  }
  Endpoint peer() noexcept { return {}; }
  Endpoint local() noexcept { return {}; }
  std::uint32_t headroom() noexcept { return 0; }
  std::uint32_t tailroom() noexcept { return 0; }
  Shard& shard() noexcept { return *shard_; }

 private:
  Shard* shard_;
  Peer* peer_;
};

constexpr std::array<std::byte, 600> content{};
constexpr std::array<CrunchFile, 2> files{
    {{"a", "text/plain", "e1", Bytes{content}.first(10)}, {"index.html", "text/html", "e2", content}}};
constexpr CrunchTable table{files};

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
  const unsigned options = data[0];
  FuzzEnvironment environment;
  Shard shard{environment,
              {.buffer_bytes = (options & 2) != 0 ? std::size_t{8192} : std::size_t{1} << 20,
               .frame_bytes = (options & 4) != 0 ? std::size_t{8 + (options >> 4)} * 1024 : std::size_t{1} << 20}};
  Peer peer{.script = std::as_bytes(std::span{data + 1, size - 1}),
            .silent = (options & 1) != 0,
            .got = {},
            .greets = (options & 8) == 0};
  (void)run(shard, serve(shard, peer));
  if (shard.buffers().statistics().bytes_in_use != 0) std::abort();
  if (shard.frames().statistics().frames != 0 || shard.timers().armed() != 0) std::abort();
  // Each pause may be followed by one deadline more.
  if (environment.now > Time{1s} + 100s * static_cast<int>(size)) std::abort();
  return 0;
}
