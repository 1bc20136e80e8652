// SPDX-License-Identifier: ISC
// The byte stream that is left when a request was answered by a change of protocol (RFC 9110 section 7.8).
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/http/link.hpp>
#include <mirage/module/flow.hpp>

namespace mirage::http {

/// What an upgraded protocol reads and writes: a whole connection, or one stream of a multiplexed one. The meaning of
/// each operation is that of module type Flow; one reader and one writer at a time.
class Tunnel {
 public:
  virtual ~Tunnel() = default;
  [[nodiscard]] virtual Shard& shard() noexcept = 0;
  virtual Task<Result<SliceList, FlowError>> read() noexcept = 0;
  virtual Task<Result<void, FlowError>> write(SliceList slices) noexcept = 0;
  virtual void shutdown() noexcept = 0;
  virtual void abort() noexcept = 0;
};

/// A protocol that takes over after "101 Switching Protocols". Lives until run() has returned; then the stream is
/// closed.
class Upgrade {
 public:
  virtual ~Upgrade() = default;
  /// As in the Upgrade field: "websocket". Lives as long as the object.
  [[nodiscard]] virtual std::string_view protocol() const noexcept = 0;
  virtual Task<Result<void, FlowError>> run(Tunnel& tunnel) noexcept = 0;
};

/// The tunnel of a connection, beginning with what was received behind the head.
template <Flow F>
class FlowTunnel final : public Tunnel {
 public:
  explicit FlowTunnel(Link<F>& link) noexcept : link_(link) {}
  [[nodiscard]] Shard& shard() noexcept override { return link_.shard(); }
  Task<Result<SliceList, FlowError>> read() noexcept override {
    SliceList early;
    while (!early.full() && link_.input.advance()) {
      const std::size_t size = link_.input.text().size();
      (void)early.push_back(link_.input.view(0, size));
      link_.input.consume(size);
    }
    if (!early.empty()) co_return early;
    co_return co_await link_.flow.read();
  }
  /// As for a response, the peer must take 64 KiB within the connection's time, not each small message: whoever closes
  /// its window would otherwise keep the writer, and what it holds, for as long as it likes. Then the connection is
  /// over.
  Task<Result<void, FlowError>> write(SliceList slices) noexcept override {
    while (!slices.empty()) {
      const auto written = co_await link_.flow.write(link_.begin_piece(slices));
      link_.end_piece();
      if (!written) co_return Failure{link_.guard.expired() ? FlowError::timed_out : written.error()};
    }
    co_return Result<void, FlowError>{};
  }
  void shutdown() noexcept override { link_.flow.shutdown(); }
  void abort() noexcept override { link_.flow.abort(); }

 private:
  Link<F>& link_;
};

}  // namespace mirage::http
