// SPDX-License-Identifier: ISC
// KvRo over a FAT12, FAT16 or FAT32 volume with long names, on a whole block device.
//
// Names keep their case and are found in any. What is on the disk is hostile: each cluster number is checked before it
// is used, chains are followed no further than a file's size or a directory's bound, directories no deeper than a key's
// parts. Dot entries, the volume's label and names that can be no part of a key do not show. Operations take turns; the
// content of a value is read outside of that when nothing can change it.
#pragma once

#include <mirage/store/disk.hpp>
#include <mirage/store/fat/cache.hpp>
#include <mirage/store/fat/entry.hpp>
#include <mirage/store/turn.hpp>

namespace mirage::store {

namespace fat {

/// A file or directory, and where its entries are.
struct Found {
  Entry entry;
  std::uint32_t first = 0;   ///< number of the first entry that belongs to it, in its directory
  std::uint32_t index = 0;   ///< of the short entry
  std::uint32_t sector = 0;  ///< that holds the short entry
};

/// Sees the entries of a directory in their order.
class Visitor {
 public:
  /// An entry's place; `free`: it holds nothing.
  virtual void slot(std::uint32_t /*index*/, std::uint32_t /*sector*/, bool /*free*/) noexcept {}
  /// A file or directory. True: that is enough.
  virtual bool entry(const Found& found, const Name& name) noexcept = 0;
  /// `index` is behind the last entry; there the directory's end mark stands, or its memory ends.
  virtual void end(std::uint32_t /*index*/, std::uint32_t /*sector*/, bool /*marked*/) noexcept {}

 protected:
  ~Visitor() = default;
};

/// What is known of a key.
struct Place {
  std::uint32_t parent = 0;    ///< directory in which `part` is, or is not
  std::string_view part;       ///< the key's last part, or the first that is not there
  std::string_view rest;       ///< what follows it
  std::optional<Name> name;    ///< of `part`; nullopt: no volume can hold it
  std::optional<Found> found;  ///< `part`, when it is the last and there
};

}  // namespace fat

class FatReaderCore {
 public:
  explicit FatReaderCore(Disk& over) noexcept : disk(over), turns(over.shard()) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk.shard(); }
  Task<Result<void, StartError>> start() { co_return co_await open(); }

  Task<Result<KvInfo, KvError>> info(std::string_view key);
  Task<Result<SliceList, KvError>> get(std::string_view key, std::uint64_t offset, std::uint64_t length);
  Task<Result<KvKind, KvError>> exists(std::string_view key);
  Task<Result<KvPage, KvError>> list(std::string_view directory, std::string_view after, std::size_t maximum);
  /// Of the content, which is read for that.
  Task<Result<KvDigest, KvError>> digest(std::string_view key) { return digest_content(*this, key); }
  [[nodiscard]] const fat::Layout& geometry() const noexcept { return layout; }

 protected:
  using Slot = fat::Cache::Slot;
  static constexpr std::uint32_t no_cluster = 0;           // the end of a chain
  static constexpr std::uint32_t maximum_entries = 65536;  // of a directory (page 22)

  Task<Result<void, StartError>> open();
  /// The sector in the cache, valid until the next call.
  Task<Result<Slot*, KvError>> load(std::uint32_t sector);
  /// The table's entry for the cluster, if it is in the cache.
  [[nodiscard]] std::optional<std::uint32_t> peek(std::uint32_t cluster) noexcept;
  /// The table's entry for the cluster. Precondition: layout.valid(cluster).
  Task<Result<std::uint32_t, KvError>> table_entry(std::uint32_t cluster);
  /// The cluster that follows; no_cluster at the end; corrupt for what is none.
  Task<Result<std::uint32_t, KvError>> next(std::uint32_t cluster);
  [[nodiscard]] Result<std::uint32_t, KvError> as_next(std::uint32_t entry) const noexcept;
  /// The chain's cluster of this number, which must exist.
  Task<Result<std::uint32_t, KvError>> seek(std::uint32_t first, std::uint32_t number);
  /// The root is the directory 0.
  Task<Result<void, KvError>> scan(std::uint32_t directory, fat::Visitor& visitor);
  /// The sector of a directory that holds the entry of this number.
  Task<Result<std::uint32_t, KvError>> sector_of_entry(std::uint32_t directory, std::uint32_t index);
  Task<Result<std::optional<fat::Found>, KvError>> find(std::uint32_t directory, const fat::Name& name);
  /// Precondition: the key is valid and not empty. not_a_directory when a part before the last is a value.
  Task<Result<fat::Place, KvError>> walk(std::string_view key);
  /// The value of this key; not_found, not_a_value.
  Task<Result<fat::Found, KvError>> value(std::string_view key);
  struct Extent {
    std::uint64_t offset;  // bytes from the start of the disk
    std::uint64_t size;
  };
  /// Where the value's bytes from `offset` lie: as many as are side by side, at most `length`.
  Task<Result<Extent, KvError>> extent(const fat::Entry& entry, std::uint64_t offset, std::uint64_t length);
  /// A directory entry's first cluster as a directory; corrupt when it is none.
  [[nodiscard]] Result<std::uint32_t, KvError> directory_of(const fat::Entry& entry) const noexcept;
  void forget_positions() noexcept { positions = {}; }

  Disk& disk;
  fat::Layout layout;
  fat::Cache cache;
  Turns turns;
  fat::FreeHint hint;
  bool has_info = false;  // hint is of an FSInfo sector
  bool changes = false;   // something other than reading goes on in this store
  struct Position {       // known places within chains, so that reading on does not start over
    std::uint32_t first = 0;
    std::uint32_t number = 0;
    std::uint32_t cluster = 0;
  };
  std::array<Position, 8> positions{};
  std::size_t oldest_position = 0;

 private:
  enum class Step : std::uint8_t { go_on, stop };
  Step visit(Bytes sector, std::uint32_t number, std::uint32_t& index, fat::LongName& long_name,
             fat::Visitor& visitor) const noexcept;
  void remember(const Position& position) noexcept;
  Task<Result<KvPage, KvError>> list_directory(std::uint32_t directory, std::string_view after, std::size_t maximum);
};

/// Reading only: nothing that writes is linked.
template <Block B>
class FatReader : private DiskHolder<B>, public FatReaderCore {
 public:
  FatReader(Shard& shard, B& block) noexcept : DiskHolder<B>(shard, block), FatReaderCore(this->held) {}
};

}  // namespace mirage::store
