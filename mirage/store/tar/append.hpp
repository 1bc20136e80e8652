// SPDX-License-Identifier: ISC
// A tar archive to which values are appended: a log of values that every tar can read. set() of a key that is there
// appends a member of the same name, which then counts.
//
// Crash safety: set() first writes everything but the first block of the new member, the archive's new end included,
// and flushes; then it writes the one sector that holds the first block, over the old end, and flushes. After a power
// cut at any point the archive has all members that were acknowledged, and the one that was being appended whole or not
// at all, given that the device writes a sector whole or not at all. Until the last step the old archive may end in one
// zero block instead of two: every reader ends there, GNU tar with a warning.
// A write or flush that failed poisons the store: no further set(). So does a lack of memory in the last step.
#pragma once

#include <mirage/store/tar/tar.hpp>
#include <mirage/store/turn.hpp>

namespace mirage::store {

class TarAppendCore : public TarCore {
 public:
  TarAppendCore(Disk& over, bool allow_volatile) noexcept
      : TarCore(over), allow_volatile_(allow_volatile), turns_(over.shard()) {}
  Task<Result<void, StartError>> start();
  /// One at a time, others wait; readers see the old value until it is done.
  Task<Result<void, KvError>> set(std::string_view key, Bytes value);

 private:
  Task<Result<void, KvError>> append(std::string_view key, Bytes value);
  Task<Result<void, KvError>> write_member(Bytes head, Bytes value);
  struct Range {  // bytes of the disk, whole sectors
    std::uint64_t from, to;
  };
  enum class First : bool { hidden, written };
  /// Writes these sectors as they are with the new member: head, value, padding, zeros; without its first block if so
  /// asked.
  Task<Result<void, KvError>> write_sectors(Bytes head, Bytes value, Range range, First mode);

  bool allow_volatile_;
  bool failed_ = false;
  Turns turns_;
};

template <Block B>
class TarAppend : private DiskHolder<B>, public TarAppendCore {
 public:
  TarAppend(Shard& shard, B& block, bool allow_volatile) noexcept
      : DiskHolder<B>(shard, block), TarAppendCore(this->held, allow_volatile) {}
};

}  // namespace mirage::store
