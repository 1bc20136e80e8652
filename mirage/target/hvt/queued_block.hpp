// SPDX-License-Identifier: ISC
// The block device of an hvt guest whose tender takes several requests at once (solo5::block_queue): they go on while
// the guest runs. What the queue does not take goes the synchronous way of solo5::BlockDevice: flush, discard, memory
// that the host's direct I/O cannot use, and everything where the tender has no queue. How a call reaches the tender
// is the target's.
#pragma once

#include <array>
#include <memory>

#include <mirage/async/shard.hpp>
#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/solo5/block_device.hpp>

namespace mirage::target::hvt {

class QueuedBlock;

/// One operation in progress: as many requests as it has pieces, and as their length needs.
class [[nodiscard]] BlockOperation : public WaitBase {
 public:
  /// Over already.
  BlockOperation(QueuedBlock& block, BlockResult result) noexcept : block_(block), over_(true), result_(result) {}
  BlockOperation(QueuedBlock& block, std::uint64_t offset, MutableBytes bytes) noexcept
      : block_(block), single_(bytes), offset_(offset), left_(bytes.size()) {}
  BlockOperation(QueuedBlock& block, std::uint64_t offset, Bytes bytes) noexcept
      : block_(block), write_(true), single_(bytes), offset_(offset), left_(bytes.size()) {}
  BlockOperation(QueuedBlock& block, std::uint64_t offset, MutableBlockPieces pieces) noexcept
      : block_(block), in_(pieces.data()), offset_(offset), left_(size_of(pieces)) {}
  BlockOperation(QueuedBlock& block, std::uint64_t offset, BlockPieces pieces) noexcept
      : block_(block), write_(true), out_(pieces.data()), offset_(offset), left_(size_of(pieces)) {}
  BlockOperation(const BlockOperation&) = delete;
  BlockOperation& operator=(const BlockOperation&) = delete;
  ~BlockOperation();

  [[nodiscard]] bool await_ready() const noexcept { return over_ || left_ == 0; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    // Never cancelled: it ends when the tender has given the memory back.
    (void)prepare(handle, handle.promise().context(), false);
    submit();
  }
  [[nodiscard]] BlockResult await_resume() const noexcept { return result_; }

 private:
  friend class QueuedBlock;
  template <class Piece>
  [[nodiscard]] static std::uint64_t size_of(std::span<const Piece> pieces) noexcept {
    std::uint64_t size = 0;
    for (const Piece& piece : pieces) size += piece.size();
    return size;
  }
  [[nodiscard]] Bytes piece() const noexcept {
    if (in_ != nullptr) return in_[index_];
    return out_ != nullptr ? out_[index_] : single_;
  }
  void submit() noexcept;
  /// The next request, of at most `limit` bytes.
  [[nodiscard]] Bytes advance(std::size_t limit) noexcept;

  QueuedBlock& block_;
  bool over_ = false;
  bool write_ = false;
  const MutableBytes* in_ = nullptr;
  const Bytes* out_ = nullptr;
  Bytes single_;
  std::uint64_t offset_ = 0;  ///< of what comes next
  std::uint64_t left_ = 0;    ///< bytes that no request has yet
  std::size_t index_ = 0;     ///< the piece that comes next, and how much of it has one
  std::size_t within_ = 0;
  unsigned outstanding_ = 0;
  BlockResult result_;
};

class QueuedBlock : public solo5::BlockDevice {
 public:
  BlockOperation read(std::uint64_t sector, MutableBytes bytes) noexcept;
  BlockOperation write(std::uint64_t sector, Bytes bytes) noexcept;
  BlockOperation read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept;
  BlockOperation write_gather(std::uint64_t sector, BlockPieces pieces) noexcept;

 protected:
  explicit QueuedBlock(Shard& shard) noexcept : solo5::BlockDevice(shard) {}
  ~QueuedBlock() = default;
  /// From now on through the queue, after describe(). False: no memory.
  [[nodiscard]] bool use_queue(std::uint64_t handle) noexcept;

 private:
  friend class BlockOperation;
  static constexpr std::uint16_t no_slot = 0xffff;
  virtual void exchange(BlockQueueCall& call) noexcept = 0;

  struct Pump final : Poller {
    explicit Pump(QueuedBlock& device) noexcept : block(device) {}
    bool poll() noexcept override { return block.poll(); }
    /// What has completed may leave room for requests that wait, of a device that had its turn, and wake nobody: the
    /// loop is to come round again, not to sleep.
    void flush() noexcept override {
      if (block.queue_->request_count != 0 && block.exchange_all())
        block.shard().start_later(again, std::noop_coroutine());
    }
    QueuedBlock& block;
    Waiter again;
  };
  /// A request of the tender's. Its token is its address: any device of the image may take its completion.
  struct Slot {
    QueuedBlock* owner = nullptr;
    BlockOperation* operation = nullptr;
    std::uint16_t next_free = no_slot;
  };
  struct Queue {
    std::array<Slot, block_queue_depth> slots;
    std::array<BlockRequest, block_queue_depth> requests;  ///< not taken by the tender yet
    std::array<BlockCompletion, block_queue_depth> completions;
    std::uint32_t request_count = 0;
    std::uint32_t in_flight = 0;
    std::uint16_t first_free = no_slot;
  };

  template <class Memory>
  [[nodiscard]] bool can_queue(std::span<const Memory> pieces) const noexcept;
  bool poll() noexcept;
  bool exchange_all() noexcept;
  void start_waiting() noexcept;
  [[nodiscard]] bool add_request(BlockOperation& operation) noexcept;
  void complete(Slot& slot, bool good) noexcept;

  std::uint64_t handle_ = 0;
  std::unique_ptr<Queue> queue_;
  List<BlockOperation> waiting_;
  Pump pump_{*this};
};

}  // namespace mirage::target::hvt
