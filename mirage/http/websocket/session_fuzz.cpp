// SPDX-License-Identifier: ISC
// A WebSocket session that echoes, fed arbitrary bytes in arbitrary pieces. Invariants: it ends, every pool is empty
// afterwards, and what it says is a sequence of well-formed frames.
//
// Input: a byte of options (bit 0: we are the client; bit 1: little memory for buffers; bit 2: piece by piece; bit 3:
// the peer stays silent at the end), then pieces: a byte of length and as many bytes.
#include <cstdlib>
#include <string>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/http/websocket/session.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::websocket;

namespace {

class FuzzEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{}; }
  bool entropy(MutableBytes out) noexcept override {
    for (std::byte& byte : out) byte = std::byte{7};
    return true;
  }
  void wait(Time deadline) noexcept override {
    if (deadline == never) std::abort();  // nothing would ever wake it
    now = deadline;
  }
  void write_console(std::string_view) noexcept override {}
  Time now{1s};
};

class FuzzTunnel final : public Tunnel {
 public:
  FuzzTunnel(Shard& shard, Bytes script, bool silent) noexcept : shard_(shard), script_(script), silent_(silent) {}
  Shard& shard() noexcept override { return shard_; }
  Task<Result<SliceList, FlowError>> read() noexcept override {
    while (!script_.empty()) {
      std::size_t size = std::to_integer<std::size_t>(script_[0]);
      script_ = script_.subspan(1);
      if (size > script_.size()) size = script_.size();
      const Bytes piece = script_.first(size);
      script_ = script_.subspan(size);
      if (piece.empty()) continue;
      const Slice slice = shard_.buffers().copy(piece);
      if (slice.empty()) co_return Failure{FlowError::no_memory};
      co_return SliceList{slice};
    }
    if (silent_ && co_await sleep_until(never) == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
    co_return SliceList{};
  }
  Task<Result<void, FlowError>> write(SliceList slices) noexcept override {
    for (const Slice& slice : slices) said += slice.text();
    co_return Result<void, FlowError>{};
  }
  void shutdown() noexcept override {}
  void abort() noexcept override {}
  std::string said;

 private:
  Shard& shard_;
  Bytes script_;
  bool silent_;
};

Task<int> echo(Shard& shard, FuzzTunnel& tunnel, unsigned options) {
  Session session{
      tunnel, (options & 1) != 0 ? Role::client : Role::server, {.maximum_message = 20'000, .maximum_frames = 100}};
  bool first = true;
  while (true) {
    if ((options & 4) != 0) {
      auto part = co_await session.receive_part();
      if (!part) break;
      (void)co_await session.send_part(part->kind, SliceList{std::move(part->data)}, first, part->final);
      first = part->final;
    } else {
      auto message = co_await session.receive();
      if (!message) break;
      (void)co_await session.send(message->kind, SliceList{std::move(message->data)});
    }
  }
  if (shard.now() > Time{1s} + 1000s) std::abort();
  co_return 0;
}

void check_frames(Bytes said, bool masked) {
  while (!said.empty()) {
    const auto header = parse_frame_header(said);
    if (!header || !*header) std::abort();
    if ((*header)->mask.has_value() != masked || (*header)->length > said.size() - (*header)->size()) std::abort();
    said = said.subspan((*header)->size() + static_cast<std::size_t>((*header)->length));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned options = data[0];
  FuzzEnvironment environment;
  const bool tight = (options & 2) != 0;
  Shard shard{environment,
              {.buffer_bytes = tight ? std::size_t{96} * 1024 : std::size_t{1} << 20, .frame_bytes = 1 << 20}};
  if (!shard.seed_random()) std::abort();
  std::string said;
  {
    FuzzTunnel tunnel{shard, std::as_bytes(std::span{data + 1, size - 1}), (options & 8) != 0};
    (void)run(shard, echo(shard, tunnel, options));
    said = tunnel.said;
  }
  // Without memory a frame may end after its head.
  if (!tight) check_frames(as_bytes(said), (options & 1) != 0);
  if (shard.buffers().statistics().bytes_in_use != 0) std::abort();
  if (shard.frames().statistics().frames != 0 || shard.timers().armed() != 0) std::abort();
  return 0;
}
