// SPDX-License-Identifier: ISC
// A block device of a process: a file or block device of the host. What may wait for the disk goes through io_uring,
// many at once: a call of the kernel hands over four (the disk begins while the next ones are made) or what a turn
// leaves at its end, and what has completed comes back together, with the sleep that waited for it. One request when
// nothing else can give the process work is a blocking system call: the kernel needs no thread of its own for it, which
// flushes through a ring always do. With the host's
// page cache (the default) reads that it holds and writes into it complete at once; with --block-direct:NAME=on
// (O_DIRECT) everything goes through the ring. Where the kernel offers no ring, each operation is a blocking system
// call.
#pragma once

#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <sys/uio.h>

#include <mirage/async/shard.hpp>
#include <mirage/module/block.hpp>
#include <mirage/target/unix/block_file.hpp>
#include <mirage/target/unix/environment.hpp>
#include <mirage/target/unix/ring.hpp>

namespace mirage::target::posix {

class Block;

/// One operation in progress.
class [[nodiscard]] BlockOperation : public WaitBase {
 public:
  enum class Kind : std::uint8_t { read, write, write_durable, flush, discard };

  BlockOperation(Block& block, std::uint64_t sector, MutableBytes bytes) noexcept
      : block_(block), kind_(Kind::read), sector_(sector), single_(bytes), size_(bytes.size()) {}
  BlockOperation(Block& block, Kind kind, std::uint64_t sector, Bytes bytes) noexcept
      : block_(block), kind_(kind), sector_(sector), single_(bytes), size_(bytes.size()) {}
  BlockOperation(Block& block, std::uint64_t sector, MutableBlockPieces pieces) noexcept
      : block_(block), kind_(Kind::read), sector_(sector), in_(pieces.data()), pieces_(pieces.size()) {}
  BlockOperation(Block& block, Kind kind, std::uint64_t sector, BlockPieces pieces) noexcept
      : block_(block), kind_(kind), sector_(sector), out_(pieces.data()), pieces_(pieces.size()) {}
  BlockOperation(Block& block, Kind kind, std::uint64_t sector, std::uint64_t count) noexcept
      : block_(block), kind_(kind), sector_(sector), size_(count) {}
  BlockOperation(const BlockOperation&) = delete;
  BlockOperation& operator=(const BlockOperation&) = delete;
  ~BlockOperation();

  [[nodiscard]] bool await_ready() noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    // Never cancelled: it ends when the kernel has given the memory back.
    (void)prepare(handle, handle.promise().context(), false);
    submit();
  }
  [[nodiscard]] BlockResult await_resume() const noexcept { return result_; }

 private:
  friend class Block;
  static constexpr std::uint16_t no_slot = 0xffff;
  [[nodiscard]] bool moves() const noexcept { return kind_ <= Kind::write_durable; }
  [[nodiscard]] Bytes piece(std::size_t index) const noexcept;
  /// Calls `visit` with each part of the next `bytes` bytes.
  template <class Visit>
  void walk(std::size_t bytes, Visit visit) const noexcept;
  [[nodiscard]] bool aligned(std::uint32_t alignment) const noexcept;
  [[nodiscard]] BlockResult begin() noexcept;
  /// Takes account of a system call's result; true when the operation is over.
  [[nodiscard]] bool advance(long result, std::size_t asked) noexcept;
  void submit() noexcept;
  void finish() noexcept {
    slot_ = no_slot;
    Waiter::complete(WaitStatus::done);
  }

  Block& block_;
  Kind kind_;
  bool bounced_ = false;  // memory that the device cannot use: it is copied
  std::uint16_t slot_ = no_slot;
  std::uint64_t sector_;
  const MutableBytes* in_ = nullptr;
  const Bytes* out_ = nullptr;
  std::size_t pieces_ = 0;
  Bytes single_;
  std::uint64_t size_ = 0;  // bytes in all once begun
  std::uint64_t done_ = 0;
  std::size_t index_ = 0;  // the piece that byte done_ is in, and how far
  std::size_t within_ = 0;
  BlockResult result_;
};

class Block {
 public:
  /// The device attached as `name` (see attachment.hpp). `at_best`: no newer use of io_uring, for tests.
  Block(Shard& shard, std::string_view name, Ring::Mode at_best = Ring::Mode::deferred) noexcept
      : shard_(shard), name_(name), at_best_(at_best) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  /// Waits for what is in flight: the kernel holds the memory.
  ~Block();

  Task<Result<void, StartError>> start();

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  BlockOperation read(std::uint64_t sector, MutableBytes bytes) noexcept { return {*this, sector, bytes}; }
  BlockOperation write(std::uint64_t sector, Bytes bytes) noexcept {
    return {*this, BlockOperation::Kind::write, sector, bytes};
  }
  BlockOperation read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept {
    return {*this, sector, pieces};
  }
  BlockOperation write_gather(std::uint64_t sector, BlockPieces pieces) noexcept {
    return {*this, BlockOperation::Kind::write, sector, pieces};
  }
  BlockOperation write_durable(std::uint64_t sector, Bytes bytes) noexcept {
    return {*this, BlockOperation::Kind::write_durable, sector, bytes};
  }
  BlockOperation flush() noexcept { return {*this, BlockOperation::Kind::flush, 0, std::uint64_t{0}}; }
  BlockOperation discard(std::uint64_t sector, std::uint64_t count) noexcept {
    return {*this, BlockOperation::Kind::discard, sector, count};
  }
  /// A hole reads as zeroes.
  BlockOperation write_zeroes(std::uint64_t sector, std::uint64_t count) noexcept { return discard(sector, count); }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] const Ring& ring() const noexcept { return ring_; }
  /// Requests that one call of the kernel hands over, at most.
  static constexpr unsigned batch = 4;

 private:
  friend class BlockOperation;
  /// The ring in the shard's loop.
  struct Pump final : Poller, Sleeper {
    explicit Pump(Block& device) noexcept : block(device) {}
    bool poll() noexcept override { return block.collect(); }
    void flush() noexcept override {
      while (block.ring_.prepared() != 0 && block.perform_alone()) {
      }
      if (block.ring_.prepared() != 0) (void)block.ring_.submit();
    }
    bool sleep(int descriptor, const timespec* timeout) noexcept override {
      if (block.in_flight_ == 0) return false;
      block.ring_.sleep(descriptor, timeout);
      return true;
    }
    Block& block;
  };
  static constexpr std::uint16_t maximum_requests = 64;
  static constexpr std::size_t maximum_pieces = 16;
  static constexpr std::size_t bounce_size = std::size_t{256} << 10;

  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  /// A system call in progress: what the kernel looks at stays here, whatever becomes of the coroutine.
  struct Slot {
    std::array<iovec, maximum_pieces> pieces;
    unsigned count = 0;
    std::size_t bytes = 0;
    std::unique_ptr<std::byte, Free> bounce;
    std::uint16_t next_free = BlockOperation::no_slot;
    BlockOperation* operation = nullptr;
  };

  [[nodiscard]] Result<void, StartError> open() noexcept;
  void open_ring() noexcept;
  /// The loop waits for the ring, too. False when the kernel refuses.
  [[nodiscard]] bool join_loop() noexcept;
  [[nodiscard]] bool fill(Slot& slot, const BlockOperation& operation) const noexcept;
  void copy_back(Slot& slot, BlockOperation& operation, long result) const noexcept;
  /// The system call itself, blocking unless `flags` says otherwise.
  [[nodiscard]] long call(const Slot& slot, const BlockOperation& operation, int flags) const noexcept;
  /// Goes on until the operation is over or would wait; true when it is over.
  [[nodiscard]] bool is_alone() const noexcept;
  [[nodiscard]] bool perform(BlockOperation& operation) const noexcept;
  /// The one request that there is, if nothing can happen before it is complete. False: it is to be submitted.
  [[nodiscard]] bool perform_alone() noexcept;
  [[nodiscard]] bool enqueue(BlockOperation& operation) noexcept;
  void start_waiting() noexcept;
  void complete(const Ring::Completion& completion) noexcept;
  bool collect() noexcept;

  Shard& shard_;
  std::string_view name_;
  Ring::Mode at_best_;
  Pump pump_{*this};
  BlockFile file_;
  Ring ring_;
  BlockGeometry geometry_;
  std::unique_ptr<Slot[]> slots_;
  std::uint16_t first_free_ = BlockOperation::no_slot;
  std::uint16_t in_flight_ = 0;
  List<BlockOperation> waiting_;
};

}  // namespace mirage::target::posix
