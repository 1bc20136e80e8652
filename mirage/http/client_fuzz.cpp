// SPDX-License-Identifier: ISC
// A client whose server answers arbitrary bytes in arbitrary pieces, to three requests in a row. Invariants: it ends
// within its time limits, and every pool is empty afterwards.
//
// Input: a byte of options (bit 0: the server stays silent at the end instead of closing; bit 1: little memory; bit 2:
// the requests have streamed bodies; bit 3: 100-continue), then pieces: a byte of length (0: the connection ends) and
// as many bytes.
#include <cstdlib>
#include <memory>
#include <string>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/http/client.hpp>
#include <mirage/module/ready.hpp>

using namespace mirage;
using namespace mirage::http;

namespace {

class FuzzEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time deadline) noexcept override {
    if (deadline == never) std::abort();
    now = deadline;
  }
  void write_console(std::string_view) noexcept override {}
  Time now{1s};
};

struct Wire {
  Bytes script;
  bool silent = false;
};

class FuzzFlow {
 public:
  FuzzFlow(Shard& shard, Wire& wire) noexcept : shard_(&shard), wire_(&wire), state_(std::make_unique<State>()) {}
  Task<Result<SliceList, FlowError>> read() {
    Wire& wire = *wire_;
    State& state = *state_;
    if (state.aborted) co_return Failure{FlowError::reset};
    if (!wire.script.empty()) {
      std::size_t size = std::to_integer<std::size_t>(wire.script[0]);
      wire.script = wire.script.subspan(1);
      if (size > wire.script.size()) size = wire.script.size();
      const Bytes piece = wire.script.first(size);
      wire.script = wire.script.subspan(size);
      if (piece.empty()) co_return SliceList{};
      const Slice slice = shard_->buffers().copy(piece);
      if (slice.empty()) co_return Failure{FlowError::no_memory};
      co_return SliceList{slice};
    }
    if (!wire.silent) co_return SliceList{};
    while (!state.aborted) {
      if (co_await state.waiting.wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
    }
    co_return Failure{FlowError::reset};
  }
  Task<Result<void, FlowError>> write(SliceList) {
    const WaitStatus status = co_await sleep(1ms);
    if (state_->aborted) co_return Failure{FlowError::reset};
    if (status == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
    co_return Result<void, FlowError>{};
  }
  Ready<Result<void, FlowError>> write(Bytes) { return Ready{Result<void, FlowError>{}}; }
  /// Bytes are on their way until somebody waits for them; an end is seen.
  [[nodiscard]] bool readable_now() noexcept {
    return state_->aborted || (wire_->script.empty() ? !wire_->silent : wire_->script[0] == std::byte{0});
  }
  void shutdown() noexcept {}
  void close() noexcept {}
  void set_no_delay(bool) noexcept {}
  void set_diffserv(std::uint8_t) noexcept {}
  void set_keep_alive(Duration) noexcept {}
  void set_user_timeout(Duration) noexcept {}
  void abort() noexcept {
    state_->aborted = true;
    state_->waiting.notify_all();
  }
  Endpoint peer() noexcept { return {}; }
  Endpoint local() noexcept { return {}; }
  std::uint32_t headroom() noexcept { return 0; }
  std::uint32_t tailroom() noexcept { return 0; }
  Shard& shard() noexcept { return *shard_; }

 private:
  struct State {
    WaitQueue waiting;
    bool aborted = false;
  };
  Shard* shard_;
  Wire* wire_;
  std::unique_ptr<State> state_;
};

struct FuzzConnector {
  using Flow = FuzzFlow;
  Shard& shard() noexcept { return shard_; }
  Ready<Result<FuzzFlow, ConnectError>> connect(std::string_view, Port) {
    return Ready{Result<FuzzFlow, ConnectError>{FuzzFlow{shard_, wire}}};
  }
  Shard& shard_;
  Wire& wire;
};

struct Zeros final : BodySource {
  explicit Zeros(Shard& s) : shard_(s) {}
  Shard& shard() noexcept { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    static constexpr std::array<std::byte, 500> zeros{};
    if (left-- == 0) co_return SliceList{};
    co_return SliceList{Slice::from_static(Bytes{zeros})};
  }
  Shard& shard_;
  int left = 20;
};

Task<int> talk(Shard& shard, Wire& wire, unsigned options) {
  FuzzConnector connector{shard, wire};
  Client client{shard, connector, {.maximum_head = 600, .maximum_body = 5000}};
  for (int i = 0; i < 3; ++i) {
    ClientRequest request;
    request.method = i == 1 ? "HEAD" : "PUT";
    if ((options & 4) != 0) request.source.reset(new Zeros(shard));
    request.expect_continue = (options & 8) != 0;
    auto response = co_await client.fetch("http://h/", std::move(request));
    if (!response) continue;
    while (true) {
      const auto part = co_await response->body().read();
      if (!part || part->empty()) break;
    }
    (void)response->body().trailers();
    co_await response->end();
  }
  co_return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned options = data[0];
  FuzzEnvironment environment;
  Shard shard{environment,
              {.buffer_bytes = (options & 2) != 0 ? std::size_t{8192} : std::size_t{1} << 20, .frame_bytes = 1 << 20}};
  Wire wire{.script = std::as_bytes(std::span{data + 1, size - 1}), .silent = (options & 1) != 0};
  (void)run(shard, talk(shard, wire, options));
  if (shard.buffers().statistics().bytes_in_use != 0) std::abort();
  if (shard.frames().statistics().frames != 0 || shard.timers().armed() != 0) std::abort();
  if (environment.now > Time{1s} + 3000s) std::abort();
  return 0;
}
