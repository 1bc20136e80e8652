// SPDX-License-Identifier: ISC
// The tree store over a device of any type: opening and formatting, group commit, poison.
#pragma once

#include <span>

#include <mirage/base/counters.hpp>
#include <mirage/module/start.hpp>
#include <mirage/store/tree/reader.hpp>
#include <mirage/store/tree/walk.hpp>
#include <mirage/store/tree/writer.hpp>

namespace mirage::store::tree {

struct Options {
  std::size_t cache_bytes = std::size_t{2} << 20;  ///< for nodes; at least 512 KiB are taken
  bool allow_volatile = false;  ///< serve a device that cannot flush: a crash may lose what was acknowledged
  bool format_blank = false;    ///< make a store on a device whose first 16 KiB are zeros
};

/// What holds when a change is acknowledged: it survives a power cut, or it will when a later one does.
enum class Commitment : std::uint8_t { staged, durable };

class Store {
 public:
  using Outcome = Result<void, KvError>;
  Store(Shard& shard, Disk& device, const Options& options) noexcept
      : core_(shard, device), writer_(core_), options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return core_.shard(); }

  /// Makes an empty store of the whole device (at most 8 TiB). Without `force` only where it is_blank().
  Task<Result<void, StartError>> format(Id id, bool force);
  /// Finds the newest state, and which pages it uses: reads the superblocks and the nodes above the leaves, and the
  /// leaves that name large values' pages; writes nothing, but flushes what an earlier life may have left.
  Task<Result<void, StartError>> open();
  [[nodiscard]] bool is_open() noexcept { return core_.current() != nullptr; }

  // Precondition of all that follow: open() succeeded.
  [[nodiscard]] Core& core() noexcept { return core_; }
  [[nodiscard]] const Counters& counters() const noexcept { return core_.counters(); }
  [[nodiscard]] View& view() noexcept { return *core_.current(); }
  /// All of the changes or none. Concurrent callers share a commit.
  Task<Outcome> change(std::span<const KvChange> changes, Commitment commitment = Commitment::durable);
  Task<Outcome> change_one(KvChange change);
  Task<Result<Reader, KvError>> snapshot();
  /// Reads and checks everything. An error: the check could not be made, or (corrupt) what the report says.
  Task<Outcome> check(WalkReport& report);
  /// A write or a flush failed: changes are refused until the store is opened anew.
  [[nodiscard]] bool is_poisoned() const noexcept { return poisoned_; }
  /// Copies of superblocks that open() found damaged, where their twin was good.
  [[nodiscard]] unsigned damaged_superblocks() const noexcept { return damaged_superblocks_; }

 private:
  struct Operation : ListNode<> {
    std::span<const KvChange> changes;
    Commitment commitment = Commitment::durable;
    bool is_exclusive = false;
    bool is_done = false;
    Outcome outcome;
    Waiter* waiter = nullptr;
  };
  /// Ends when the operation is done, or when it is its turn to lead. Not cancellable: others use what the caller owns.
  class Turn : public WaitBase {
   public:
    explicit Turn(Operation& operation) noexcept : operation_(operation) {}
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      (void)prepare(handle, handle.promise().context(), false);
      operation_.waiter = this;
    }
    void await_resume() const noexcept {}

   private:
    Operation& operation_;
  };

  Task<Outcome> enqueue(Operation& operation);
  Task<Outcome> lead();
  Task<Outcome> take_group(List<Operation>& group);
  Task<Outcome> conclude(List<Operation>& group);
  Task<Outcome> apply(const Operation& operation);
  Task<Outcome> release_staged(List<Operation>& group);
  void roll_back(List<Operation>& group) noexcept;
  void finish(Operation& operation, const Outcome& outcome) noexcept;
  void finish_all(List<Operation>& operations, const Outcome& outcome) noexcept;
  void hand_over() noexcept;
  void poison() noexcept;
  [[nodiscard]] Result<void, StartError> check_device() const noexcept;
  Task<Result<void, StartError>> settle();
  Task<Result<void, StartError>> load_state(Superblock state);
  [[nodiscard]] Result<Superblock, StartError> choose(Bytes pages) noexcept;

  Core core_;
  Writer writer_;
  Options options_;
  List<Operation> queue_;
  bool is_led_ = false;
  bool poisoned_ = false;
  unsigned damaged_superblocks_ = 0;
};

}  // namespace mirage::store::tree
