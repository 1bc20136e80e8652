// SPDX-License-Identifier: ISC
// A block device of a virtio guest: the one whose identifier (QEMU: serial=NAME) is the module's name, else the first
// that nobody holds and whose identifier is none or begins with a digit: a monitor makes those up.
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/device/virtio/block.hpp>
#include <mirage/module/start.hpp>
#include <mirage/target/virtio/attachment.hpp>

namespace mirage::target::virtio {

class Block final : public Wakeable {
 public:
  Block(Shard& shard, std::string_view name) noexcept : shard_(shard), name_(name) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  Task<Result<void, StartError>> start();

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return device_.geometry(); }
  mirage::virtio::BlockOperation read(std::uint64_t sector, MutableBytes bytes) noexcept {
    return device_.read(sector, bytes);
  }
  mirage::virtio::BlockOperation write(std::uint64_t sector, Bytes bytes) noexcept {
    return device_.write(sector, bytes);
  }
  mirage::virtio::BlockOperation read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept {
    return device_.read_scatter(sector, pieces);
  }
  mirage::virtio::BlockOperation write_gather(std::uint64_t sector, BlockPieces pieces) noexcept {
    return device_.write_gather(sector, pieces);
  }
  mirage::virtio::BlockOperation discard(std::uint64_t sector, std::uint64_t count) noexcept {
    return device_.discard(sector, count);
  }
  mirage::virtio::BlockOperation write_zeroes(std::uint64_t sector, std::uint64_t count) noexcept {
    return device_.write_zeroes(sector, count);
  }
  mirage::virtio::BlockOperation flush() noexcept { return device_.flush_writes(); }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { device_.visit_counters(visitor); }

  [[nodiscard]] bool arm() noexcept override { return device_.arm(); }
  void disarm(bool quiet) noexcept override;

 private:
  [[nodiscard]] Result<void, StartError> attach() noexcept;
  /// Starts the first device with the module's name, or the first without any.
  [[nodiscard]] bool find(bool by_identifier) noexcept;
  Shard& shard_;
  std::string_view name_;
  Attachment attachment_;
  mirage::virtio::BlockDevice device_;
  bool silent_ = false;  ///< a device did not say what it is called
};

}  // namespace mirage::target::virtio
