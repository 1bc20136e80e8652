// SPDX-License-Identifier: ISC
// Module type Flow on a TCP socket of the host.
#pragma once

#include <memory>

#include <mirage/async/task.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/target/unix/socket.hpp>

namespace mirage::target::posix {

class LingerSet;

/// Move-only handle of a connection; destroying it closes. See module/flow.hpp for the contract of each operation.
class SocketFlow {
 public:
  /// `socket` is connected and watched; `lingering` outlives the flow.
  SocketFlow(std::unique_ptr<Socket> socket, LingerSet& lingering) noexcept;
  SocketFlow(SocketFlow&&) noexcept = default;
  SocketFlow& operator=(SocketFlow&& other) noexcept;
  ~SocketFlow() { close(); }

  Task<Result<SliceList, FlowError>> read() noexcept;
  Task<Result<void, FlowError>> write(SliceList slices) noexcept;
  /// `bytes` must stay valid until the write completes.
  Task<Result<void, FlowError>> write(Bytes bytes) noexcept;
  /// Whether read() would complete at once.
  [[nodiscard]] bool readable_now() noexcept;
  void shutdown() noexcept;
  void close() noexcept;
  void abort() noexcept;
  void set_no_delay(bool on) noexcept;
  void set_diffserv(std::uint8_t codepoint) noexcept;
  void set_keep_alive(Duration idle) noexcept;
  void set_user_timeout(Duration timeout) noexcept;
  [[nodiscard]] Endpoint peer() const noexcept { return peer_; }
  [[nodiscard]] Endpoint local() const noexcept { return local_; }
  [[nodiscard]] std::uint32_t headroom() const noexcept { return 0; }
  [[nodiscard]] std::uint32_t tailroom() const noexcept { return 0; }
  [[nodiscard]] Shard& shard() const noexcept { return socket_->shard(); }

 private:
  std::unique_ptr<Socket> socket_;
  LingerSet* lingering_;
  Endpoint local_;
  Endpoint peer_;
};

static_assert(TunableFlow<SocketFlow> && ObservableFlow<SocketFlow>);

/// Connections that the application has closed but whose last bytes are still on their way: what arrives is thrown
/// away until the peer closes too. (close(2) with unread data would reset, and the peer lose what was written.)
class LingerSet {
 public:
  explicit LingerSet(Shard& shard) noexcept : shard_(shard) {}
  LingerSet(const LingerSet&) = delete;
  LingerSet& operator=(const LingerSet&) = delete;
  ~LingerSet();

  /// Takes over an open, unwatched descriptor.
  void add(int descriptor) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  static constexpr std::size_t bound = 1024;
  static constexpr Duration patience = 30s;

  struct Member final : Watch, Timer, ListNode<> {
    Member(LingerSet& set, int open) noexcept
        : Timer([](Timer& timer) noexcept { static_cast<Member&>(timer).end(); }), owner(set), descriptor(open) {}
    void on_ready(std::uint32_t events) noexcept override;
    /// Closes and goes.
    void end() noexcept;
    LingerSet& owner;
    int descriptor;
  };

  Shard& shard_;
  List<Member> members_;
  std::size_t count_ = 0;
};

}  // namespace mirage::target::posix
