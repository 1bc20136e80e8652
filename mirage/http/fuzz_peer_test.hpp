// SPDX-License-Identifier: ISC
// For fuzzers of servers: a peer that says arbitrary bytes in arbitrary pieces, the files that it may ask for, and what
// must hold when its connection is over.
#pragma once

#include <array>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/store/crunch/crunch.hpp>

namespace mirage::http::test {

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

/// `script`: pieces, each a byte of length (0: a pause of 7 s) and as many bytes.
struct Peer {
  Bytes script;
  bool silent = false;  ///< at the end, instead of closing
  std::string got{};
  bool aborted = false;
  std::string_view greeting{};  ///< what it says first
  WaitQueue gone{};             ///< a reader waits here for the end of the flow
};

class PeerFlow {
 public:
  PeerFlow(Shard& shard, Peer& peer) noexcept : shard_(&shard), peer_(&peer) {}
  Task<Result<SliceList, FlowError>> read() {
    if (!peer_->greeting.empty()) co_return SliceList{Slice::from_static(std::exchange(peer_->greeting, {}))};
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

inline constexpr std::array<std::byte, 600> content{};
inline constexpr std::array<CrunchFile, 2> files{
    {{"a", "text/plain", "e1", Bytes{content}.first(10)}, {"index.html", "text/html", "e2", content}}};
inline constexpr CrunchTable table{files};

/// `options`: bit 0: the peer stays silent at the end instead of closing; bit 1: little memory for buffers; bit 2:
/// little memory for frames, more with the upper four bits. `serve` makes a Task<int> of a shard and the peer.
template <class Serve>
void play(unsigned options, Peer& peer, std::size_t size, const Serve& serve) {
  FuzzEnvironment environment;
  Shard shard{environment,
              {.buffer_bytes = (options & 2) != 0 ? std::size_t{8192} : std::size_t{1} << 20,
               .frame_bytes = (options & 4) != 0 ? std::size_t{8 + (options >> 4)} * 1024 : std::size_t{1} << 20}};
  peer.silent = (options & 1) != 0;
  (void)run(shard, serve(shard, peer));
  if (shard.buffers().statistics().bytes_in_use != 0) std::abort();
  if (shard.frames().statistics().frames != 0 || shard.timers().armed() != 0) std::abort();
  // Each pause may be followed by one deadline more.
  if (environment.now > Time{1s} + 100s * static_cast<int>(size)) std::abort();
}

}  // namespace mirage::http::test
