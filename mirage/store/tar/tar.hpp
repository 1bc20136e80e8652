// SPDX-License-Identifier: ISC
// KvRo over a tar archive on a block device, as `tar -cf disk.img DIRECTORY` makes one (ustar, pax, GNU): an index is
// built at start, values are read from the device into buffers of the pool and not copied.
//
// Of a name that is there twice the last member counts. Links, devices and sparse files are left out, and counted in
// the log. The archive ends at its first zero block or with the disk. One that is cut off, damaged or no archive at all
// does not start. What is checked is the headers: tar has no checksum of content.
#pragma once

#include <mirage/module/ready.hpp>
#include <mirage/store/disk.hpp>
#include <mirage/store/tar/index.hpp>

namespace mirage::store {

class TarCore {
 public:
  explicit TarCore(Disk& over) noexcept : disk(over) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk.shard(); }
  Task<Result<void, StartError>> start();

  Ready<Result<KvInfo, KvError>> info(std::string_view key) noexcept { return Ready{look_up(key)}; }
  Task<Result<SliceList, KvError>> get(std::string_view key, std::uint64_t offset, std::uint64_t length);
  Ready<Result<KvKind, KvError>> exists(std::string_view key) noexcept;
  Ready<Result<KvPage, KvError>> list(std::string_view directory, std::string_view after, std::size_t maximum) noexcept;
  /// Of the content, which is read for that.
  Task<Result<KvDigest, KvError>> digest(std::string_view key) { return digest_content(*this, key); }

  /// Keys with an entry of their own, and bytes up to the archive's end.
  [[nodiscard]] std::size_t members() const noexcept { return index.size(); }
  [[nodiscard]] std::uint64_t used() const noexcept { return end; }
  /// Members that are no values: links, devices, sparse files, names that are no keys.
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }

 protected:
  struct Left {  // members that are no values or directories with a valid name
    std::uint32_t kind = 0;
    std::uint32_t name = 0;
  };
  Task<Result<void, StartError>> scan();
  [[nodiscard]] Result<void, StartError> add(const tar::Member& member, Left& left) noexcept;
  [[nodiscard]] Result<KvInfo, KvError> look_up(std::string_view key) const noexcept;

  Disk& disk;
  tar::Index index;
  std::uint64_t end = 0;  // where the archive ends: its first zero block

 private:
  std::uint64_t left_out_ = 0;
};

template <Block B>
class Tar : private DiskHolder<B>, public TarCore {
 public:
  Tar(Shard& shard, B& block) noexcept : DiskHolder<B>(shard, block), TarCore(this->held) {}
};

}  // namespace mirage::store
