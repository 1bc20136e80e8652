// SPDX-License-Identifier: ISC
// The class of a volume; include volume.hpp, which has its functions too.
#pragma once

#include <algorithm>
#include <array>

#include <mirage/async/quick.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/file.hpp>
#include <mirage/store/volume/window.hpp>

namespace mirage::store {

template <Block B>
class Volume {
 public:
  /// `create`: a blank device is formatted at the start. `allow_volatile`: a device that cannot flush will do.
  Volume(Shard& shard, B& block, bool create = false, bool allow_volatile = false) noexcept
      : shard_(shard), block_(block), create_(create), allow_volatile_(allow_volatile) {}
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  Task<Result<void, StartError>> start();
  /// Makes the device an empty volume, whatever it holds.
  Task<Result<void, StartError>> format();

  class Part {
   public:
    Part(Volume& volume, unsigned index) noexcept : volume_(volume), index_(index) {}
    [[nodiscard]] Shard& shard() noexcept { return volume_.shard_; }
    [[nodiscard]] FileTraits traits() const noexcept {
      const BlockGeometry& geometry = volume_.block_.geometry();
      return {.unit = geometry.sector_size, .durability = geometry.durability, .read_only = geometry.read_only};
    }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    Quick<Result<std::size_t, FileError>> read_at(std::uint64_t offset, MutableBytes in);
    Quick<Result<void, FileError>> write_at(std::uint64_t offset, Bytes out);
    Task<Result<void, FileError>> truncate(std::uint64_t size);
    Task<Result<void, FileError>> sync();
    /// Whether this part could be so many bytes long beside the other.
    [[nodiscard]] bool has_room(std::uint64_t end) const noexcept;

   private:
    friend class Volume;
    using Run = volume::Window::Run;
    [[nodiscard]] std::uint64_t sector_of(std::uint64_t offset) const noexcept {
      return volume_.layout_.place(index_, offset) / volume_.layout_.sector;
    }
    [[nodiscard]] std::uint64_t sector_of(const Run& run) const noexcept {
      return sector_of(window_.chunk() * volume::chunk_size) + run.first;
    }
    // What is within one chunk, and needs nothing that the device does not do at once. Nothing: it may have to wait,
    // and whatever was done has changed nothing that can be seen.
    template <class T>
    using AtOnce = std::optional<Result<T, FileError>>;
    [[nodiscard]] AtOnce<std::size_t> read_at_once(std::uint64_t offset, MutableBytes in);
    [[nodiscard]] AtOnce<void> write_at_once(std::uint64_t offset, Bytes out);
    [[nodiscard]] AtOnce<void> look_at_once(std::uint64_t offset);
    [[nodiscard]] AtOnce<void> load_at_once(Run run);
    /// The sectors that a write covers in part are known, as far as they are the file's.
    [[nodiscard]] AtOnce<void> load_edges_at_once(const Run& run, std::size_t inside, std::size_t size);
    [[nodiscard]] bool is_partial_unknown(std::size_t sector, std::size_t inside, std::size_t size) const noexcept;
    /// A sector behind the end of the file is zeros.
    [[nodiscard]] bool is_behind_end(std::size_t sector) const noexcept {
      return window_.chunk() * volume::chunk_size + sector * volume_.layout_.sector >= size_;
    }
    Task<Result<std::size_t, FileError>> read_slowly(std::uint64_t offset, MutableBytes in);
    Task<Result<void, FileError>> write_slowly(std::uint64_t offset, Bytes out);
    void put(std::size_t inside, Bytes out, const Run& run) noexcept;
    Task<Result<void, FileError>> read_piece(std::uint64_t offset, MutableBytes in);
    Task<Result<void, FileError>> write_piece(std::uint64_t offset, Bytes out);
    /// `size` zeros from `offset` when `bytes` is empty.
    Task<Result<void, FileError>> write_pieces(std::uint64_t offset, std::uint64_t size, Bytes bytes);
    /// The window shows the chunk of `offset`.
    Task<Result<void, FileError>> look_at(std::uint64_t offset);
    Task<Result<void, FileError>> load(Run run);
    /// `all`: with the window's last write everything is there that a sync() is about.
    Task<Result<void, FileError>> write_back(bool all = false);
    [[nodiscard]] Result<void, FileError> check_room(std::uint64_t end) const noexcept;

    Volume& volume_;
    unsigned index_;
    std::uint64_t size_ = 0;
    std::uint64_t durable_ = 0;  ///< the most that a header on the device may say
    volume::Window window_;
  };

  [[nodiscard]] Part& data() noexcept { return parts_[0]; }
  [[nodiscard]] Part& journal() noexcept { return parts_[1]; }
  /// Of both together, once it has been started: as it was made, however large the disk is now.
  [[nodiscard]] std::uint64_t chunks() const noexcept { return header_.chunks; }

  struct Counters {
    std::uint64_t reads = 0;  ///< requests to the device
    std::uint64_t writes = 0;
    std::uint64_t durable = 0;  ///< writes by FUA: no flush
    std::uint64_t flushes = 0;
    std::uint64_t headers = 0;  ///< written because a size had changed
    std::uint64_t no_space = 0;
    std::uint64_t failures = 0;  ///< of the device
  };
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("volume", counters_); }

 private:
  /// One operation at a time.
  class Turn {
   public:
    explicit Turn(Volume& volume) noexcept : volume_(&volume) {}
    Turn(Turn&& other) noexcept : volume_(std::exchange(other.volume_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (volume_ == nullptr) return;
      volume_->busy_ = false;
      volume_->turns_.notify_one();
    }

   private:
    Volume* volume_;
  };
  Task<Result<Turn, FileError>> turn() {
    while (busy_) {
      if (co_await turns_.wait() == WaitStatus::cancelled) co_return Failure{FileError::cancelled};
    }
    busy_ = true;
    co_return Turn{*this};
  }

  /// What the device does at once; nothing when it would have to wait: then it has not begun.
  template <class Operation>
  [[nodiscard]] static std::optional<BlockResult> at_once(Operation operation) {
    if constexpr (requires { operation.await_ready(); }) {
      if (operation.await_ready()) return BlockResult{operation.await_resume()};
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<Result<void, FileError>> read_at_once(std::uint64_t sector, MutableBytes in);
  [[nodiscard]] std::optional<Result<void, FileError>> write_at_once(std::uint64_t sector, Bytes out);
  Task<Result<void, FileError>> read(std::uint64_t sector, MutableBytes in);
  /// `last`: if no other write waits for a flush, this one is made durable itself where the device can.
  Task<Result<void, FileError>> write(std::uint64_t sector, Bytes out, bool last);
  Task<Result<void, FileError>> write_header(const volume::Header& header);
  Task<Result<void, StartError>> settle();
  Task<Result<void, FileError>> commit(std::array<std::uint64_t, 2> sizes);
  [[nodiscard]] Result<void, StartError> set_up() noexcept;
  Task<Result<void, StartError>> start_blank();
  [[nodiscard]] FileError failed(BlockError error) noexcept;
  [[nodiscard]] FileError write_failed(BlockError error) noexcept;

  Shard& shard_;
  B& block_;
  bool create_;
  bool allow_volatile_;
  bool busy_ = false;
  bool broken_ = false;    ///< a write or a flush has failed
  bool unsure_ = false;    ///< a header may be on the device that is newer than header_: it is written again
  bool unflushed_ = true;  ///< something was written that a flush must make durable, perhaps before the start
  WaitQueue turns_;
  volume::Layout layout_;
  volume::Header header_;  ///< the newer one on the device
  unsigned slot_ = 0;
  std::unique_ptr<std::byte[]> slots_;  ///< room for both headers
  std::array<Part, 2> parts_{Part{*this, 0}, Part{*this, 1}};
  Counters counters_;
};

}  // namespace mirage::store
