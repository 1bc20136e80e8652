// SPDX-License-Identifier: ISC
// virtio block device, VIRTIO 1.2 section 5.2. Satisfies mirage::Block. Requests of any length go out as few device
// requests as its limits allow, many in flight; the request's header and status byte belong to the device object, so a
// coroutine that goes away early takes nothing with it that the device still writes to, except the caller's memory,
// which the module type asks to keep.
#pragma once

#include <array>
#include <memory>

#include <mirage/async/shard.hpp>
#include <mirage/device/virtio/queue.hpp>
#include <mirage/module/block.hpp>

namespace mirage::virtio {

class BlockDevice;

/// One read, write or flush in progress.
class [[nodiscard]] BlockOperation : public WaitBase {
 public:
  enum class Kind : std::uint8_t { read, write, flush };

  BlockOperation(BlockDevice& device, Kind kind, std::uint64_t sector, const std::byte* data, std::size_t size) noexcept
      : device_(device), kind_(kind), sector_(sector), data_(data), left_(size) {}
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
  [[nodiscard]] Result<void, BlockError> await_resume() const noexcept { return result_; }

 private:
  friend class BlockDevice;
  static constexpr std::uint16_t no_slot = 0xffff;
  void submit() noexcept;
  void finish(Result<void, BlockError> result) noexcept;

  BlockDevice& device_;
  Kind kind_;
  std::uint64_t sector_;  ///< in units of 512 bytes once submitted
  const std::byte* data_;
  std::size_t left_;
  std::uint32_t part_ = 0;  ///< bytes of the device request in flight
  std::uint16_t slot_ = no_slot;
  Result<void, BlockError> result_;
};

class BlockDevice final : public Poller {
 public:
  struct Statistics {
    std::uint64_t requests = 0;
    std::uint64_t failures = 0;  ///< the device answered with an error or with nothing
  };
  enum class Error : std::uint8_t { none, refused, no_queue, no_memory, bad_geometry };
  /// What virtio calls the serial number: at most 20 bytes, NUL-padded.
  using Identifier = std::array<char, 20>;

  BlockDevice() noexcept = default;
  BlockDevice(const BlockDevice&) = delete;
  BlockDevice& operator=(const BlockDevice&) = delete;
  /// Resets the device: it touches no memory of ours afterwards.
  ~BlockDevice();

  /// Negotiates and starts the device; the transport must outlive this object. The caller adds the poller to the shard.
  [[nodiscard]] Error start(Transport& transport) noexcept;
  /// Reads the device's identifier, spinning; only before the first operation. False when it does not answer.
  [[nodiscard]] bool read_identifier(Identifier& identifier) noexcept;
  /// Gives the device back: reset, all memory released.
  void stop() noexcept;

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  BlockOperation read(std::uint64_t sector, MutableBytes bytes) noexcept {
    return {*this, BlockOperation::Kind::read, sector, bytes.data(), bytes.size()};
  }
  BlockOperation write(std::uint64_t sector, Bytes bytes) noexcept {
    return {*this, BlockOperation::Kind::write, sector, bytes.data(), bytes.size()};
  }
  BlockOperation flush_writes() noexcept { return {*this, BlockOperation::Kind::flush, 0, nullptr, 0}; }

  bool poll() noexcept override;
  void flush() noexcept override;
  [[nodiscard]] bool arm() noexcept { return queue_.enable_interrupts(); }
  void disarm() noexcept { queue_.disable_interrupts(); }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }

 private:
  friend class BlockOperation;
  static constexpr std::uint16_t maximum_requests = 64;
  static constexpr std::uint16_t queue_size = 256;
  static constexpr std::uint16_t no_slot = 0xffff;

  /// struct virtio_blk_req without its data; read and written by the device.
  struct Slot {
    std::array<std::byte, 16> header{};
    std::byte status{};
    std::uint16_t next_free = no_slot;
    BlockOperation* operation = nullptr;
  };

  [[nodiscard]] bool read_geometry(const Negotiated& negotiated) noexcept;
  [[nodiscard]] bool allocate_slots() noexcept;
  [[nodiscard]] Result<void, BlockError> check(const BlockOperation& operation) const noexcept;
  [[nodiscard]] bool start_part(BlockOperation& operation) noexcept;
  void start_waiting() noexcept;
  void complete(const Completion& completion) noexcept;
  void fail_all() noexcept;

  Transport* transport_ = nullptr;
  Queue queue_;
  BlockGeometry geometry_;
  std::size_t part_limit_ = 0;  ///< bytes of one device request
  std::unique_ptr<Slot[]> slots_;
  std::uint16_t first_free_ = no_slot;
  List<BlockOperation> waiting_;
  Statistics statistics_;
};

}  // namespace mirage::virtio
