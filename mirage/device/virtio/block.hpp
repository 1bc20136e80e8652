// SPDX-License-Identifier: ISC
// virtio block device, VIRTIO 1.2 section 5.2. Satisfies mirage::Block with scatter and gather, discard and zeroes.
// Over several queues where the device has them (VIRTIO_BLK_F_MQ), at most four.
// Operations of any length and of any number of pieces go out as few device requests as its limits allow, many in
// flight; the request's header and status byte belong to the device object, so a
// coroutine that goes away early takes nothing with it that the device still writes to, except the caller's memory,
// which the module type asks to keep.
#pragma once

#include <array>
#include <memory>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/device/virtio/queue.hpp>
#include <mirage/module/block.hpp>

namespace mirage::virtio {

class BlockDevice;

/// One operation in progress.
class [[nodiscard]] BlockOperation : public WaitBase {
 public:
  enum class Kind : std::uint8_t { read, write, flush, discard, write_zeroes };

  BlockOperation(BlockDevice& device, Kind kind, std::uint64_t sector, Bytes bytes) noexcept
      : device_(device), kind_(kind), sector_(sector), single_(bytes), left_(bytes.size()) {}
  BlockOperation(BlockDevice& device, std::uint64_t sector, MutableBlockPieces pieces) noexcept
      : device_(device), kind_(Kind::read), sector_(sector), in_(pieces.data()), pieces_(pieces.size()) {}
  BlockOperation(BlockDevice& device, std::uint64_t sector, BlockPieces pieces) noexcept
      : device_(device), kind_(Kind::write), sector_(sector), out_(pieces.data()), pieces_(pieces.size()) {}
  /// `count`: sectors.
  BlockOperation(BlockDevice& device, Kind kind, std::uint64_t sector, std::uint64_t count) noexcept
      : device_(device), kind_(kind), sector_(sector), left_(count) {}
  BlockOperation(const BlockOperation&) = delete;
  BlockOperation& operator=(const BlockOperation&) = delete;
  ~BlockOperation();

  [[nodiscard]] bool await_ready() noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    // Never cancelled: it ends when the device has given the memory back.
    (void)prepare(handle, handle.promise().context(), false);
    submit();
  }
  [[nodiscard]] BlockResult await_resume() const noexcept { return result_; }

 private:
  friend class BlockDevice;
  static constexpr std::uint16_t no_slot = 0xffff;
  [[nodiscard]] bool moves() const noexcept { return kind_ <= Kind::write; }
  [[nodiscard]] Bytes piece(std::size_t index) const noexcept {
    if (in_ != nullptr) return in_[index];
    return out_ != nullptr ? out_[index] : single_;
  }
  /// Its check and, once that has passed, what is left to do in bytes.
  [[nodiscard]] BlockResult begin() noexcept;
  void advance() noexcept;
  void submit() noexcept;
  void finish(BlockResult result) noexcept;

  BlockDevice& device_;
  Kind kind_;
  std::uint16_t slot_ = no_slot;
  std::uint32_t part_ = 0;  ///< bytes of the device request in flight
  std::uint64_t sector_;    ///< in units of 512 bytes once submitted
  const MutableBytes* in_ = nullptr;
  const Bytes* out_ = nullptr;
  std::size_t pieces_ = 0;
  Bytes single_;
  std::uint64_t left_ = 0;
  std::size_t index_ = 0;  ///< the piece that comes next, and how much of it is done
  std::size_t within_ = 0;
  BlockResult result_;
};

class BlockDevice final : public Poller {
 public:
  struct Statistics {
    std::uint64_t requests = 0;
    std::uint64_t failures = 0;     ///< the device answered with an error or with nothing
    std::uint64_t needs_reset = 0;  ///< 1: the device has given up
  };
  enum class Error : std::uint8_t { none, refused, no_queue, no_memory, bad_geometry };
  /// What virtio calls the serial number: at most 20 bytes, NUL-padded.
  using Identifier = std::array<char, 20>;
  enum class Answer : std::uint8_t { given, none, silent };
  static constexpr Duration patience{5s};

  BlockDevice() noexcept = default;
  BlockDevice(const BlockDevice&) = delete;
  BlockDevice& operator=(const BlockDevice&) = delete;
  /// Resets the device: it touches no memory of ours afterwards.
  ~BlockDevice();

  /// Negotiates and starts the device; the transport must outlive this object. The caller adds the poller to the shard.
  [[nodiscard]] Error start(Transport& transport) noexcept;
  /// Reads the device's identifier, spinning; only before the first operation. None: it knows of no identifiers. A
  /// device that is silent for as long as our patience is stopped.
  [[nodiscard]] Answer read_identifier(Environment& environment, Identifier& identifier) noexcept;
  /// Asks the device whether it has given up (DEVICE_NEEDS_RESET, section 2.1). True once, when it has: it is stopped,
  /// and what it did not answer fails as all that follows.
  [[nodiscard]] bool needs_reset() noexcept;
  /// Gives the device back: reset, all memory released.
  void stop() noexcept;

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  BlockOperation read(std::uint64_t sector, MutableBytes bytes) noexcept {
    return {*this, BlockOperation::Kind::read, sector, Bytes{bytes}};
  }
  BlockOperation write(std::uint64_t sector, Bytes bytes) noexcept {
    return {*this, BlockOperation::Kind::write, sector, bytes};
  }
  BlockOperation read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept {
    return {*this, sector, pieces};
  }
  BlockOperation write_gather(std::uint64_t sector, BlockPieces pieces) noexcept { return {*this, sector, pieces}; }
  BlockOperation discard(std::uint64_t sector, std::uint64_t count) noexcept {
    return {*this, BlockOperation::Kind::discard, sector, count};
  }
  BlockOperation write_zeroes(std::uint64_t sector, std::uint64_t count) noexcept {
    return {*this, BlockOperation::Kind::write_zeroes, sector, count};
  }
  BlockOperation flush_writes() noexcept { return {*this, BlockOperation::Kind::flush, 0, std::uint64_t{0}}; }

  bool poll() noexcept override;
  void flush() noexcept override;
  /// Asks for an interrupt at the next completion. True when one is there already.
  [[nodiscard]] bool arm() noexcept;
  void disarm() noexcept;
  [[nodiscard]] std::uint16_t queue_count() const noexcept { return queue_count_; }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("virtio_block", counters_of(statistics_));
    for (const Queue& queue : queues()) visitor.counters("virtio_block_ring", counters_of(queue.statistics()));
  }

 private:
  friend class BlockOperation;
  static constexpr std::uint16_t maximum_requests = 64;
  static constexpr std::uint16_t queue_size = 256;  // together
  /// One shard drives them all: they are for a host that serves each in a thread of its own (vhost-user, iothreads).
  static constexpr std::uint16_t maximum_queues = 4;
  static constexpr std::uint16_t no_slot = 0xffff;

  /// struct virtio_blk_req without its data; read and written by the device.
  struct Slot {
    std::array<std::byte, 16> header{};
    std::array<std::byte, 16> range{};  // struct virtio_blk_discard_write_zeroes
    std::byte status{};
    std::uint16_t next_free = no_slot;
    BlockOperation* operation = nullptr;
  };

  [[nodiscard]] bool read_geometry(const Negotiated& negotiated) noexcept;
  [[nodiscard]] bool allocate_slots() noexcept;
  void read_ranges(const Negotiated& negotiated) noexcept;
  [[nodiscard]] std::size_t limit_of(const BlockOperation& operation) const noexcept;
  /// The data of the operation's next request, at most as many bytes and pieces as one carries.
  [[nodiscard]] std::size_t add_data(BlockOperation& operation, Slot& slot, std::span<Segment> segments) const noexcept;
  [[nodiscard]] std::span<Queue> queues() noexcept { return std::span(queues_).first(queue_count_); }
  [[nodiscard]] std::span<const Queue> queues() const noexcept { return std::span(queues_).first(queue_count_); }
  [[nodiscard]] bool start_queues(Transport& transport, const Negotiated& negotiated) noexcept;
  [[nodiscard]] bool broken() const noexcept;
  [[nodiscard]] bool enqueue(std::span<const Segment> segments, std::uint16_t slot) noexcept;
  [[nodiscard]] bool start_part(BlockOperation& operation) noexcept;
  void start_waiting() noexcept;
  void complete(const Completion& completion) noexcept;
  void fail_all() noexcept;

  Transport* transport_ = nullptr;
  std::array<Queue, maximum_queues> queues_;
  std::uint16_t queue_count_ = 0;
  std::uint16_t share_ = maximum_requests;  ///< requests in flight of one queue
  BlockGeometry geometry_;
  std::size_t part_limit_ = 0;     ///< bytes of one device request
  std::size_t piece_limit_ = 0;    ///< pieces of one
  std::size_t discard_limit_ = 0;  ///< bytes of one discard
  std::size_t zeroes_limit_ = 0;
  Identifier identifier_{};  ///< written by the device, which may answer when nobody waits any more
  std::unique_ptr<Slot[]> slots_;
  std::uint16_t first_free_ = no_slot;
  List<BlockOperation> waiting_;
  Statistics statistics_;
};

}  // namespace mirage::virtio
