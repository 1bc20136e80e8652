// SPDX-License-Identifier: ISC
// KvRw and KvInPlace over a FAT volume. Directories are made as keys need them and stay when they are empty.
//
// Crash safety, given that the device writes 512 bytes whole or not at all: a unit, of which larger sectors have
// several. Content and its chain are written to free clusters and flushed; then one unit of a directory is the change;
// then what is no longer used is freed. After a power cut:
// - set(): the old value or the new one; remove() of a value: it is there or not.
// - rename(): one of the two names has the value, or both have. It is one write when both names lie in one unit of a
//   directory; else the content is copied.
// - set_partial(): what lies within the old size is written in place, unit by unit; what it adds is there as a whole or
//   not at all.
// - overwrite(): each unit is old or new until sync() is done. resize(): the old size or the new one.
// - remove() of a directory: some of what is below it is gone.
// What else may be left: clusters that nothing refers to, a free count that is not right, tables that differ in what is
// not used, and parts of long names (of more than 195 characters) without a file. fsck.fat mends all of that.
// A volume whose FAT12 table was made by others may have the last cluster of a chain in an entry that crosses a unit:
// extending that chain is not one write. We allocate no such cluster.
//
// A write or flush that failed poisons the store: it changes nothing any more. One that there was no memory to ask for
// ends its operation only, and leaves what a power cut would; but what was synced is what a later sync() says.
#pragma once

#include <mirage/store/fat/reader.hpp>

namespace mirage::store {

class FatCore : public FatReaderCore {
 public:
  FatCore(Disk& over, bool allow_volatile) noexcept : FatReaderCore(over), allow_volatile_(allow_volatile) {}
  Task<Result<void, StartError>> start();

  Task<Result<void, KvError>> set(std::string_view key, Bytes value);
  Task<Result<void, KvError>> set_partial(std::string_view key, std::uint64_t offset, Bytes bytes);
  Task<Result<void, KvError>> remove(std::string_view key);
  Task<Result<void, KvError>> rename(std::string_view from, std::string_view to);
  // KvInPlace
  static constexpr std::uint64_t maximum_value = 0xffffffff;
  Task<Result<void, KvError>> overwrite(std::string_view key, std::uint64_t offset, Bytes bytes);
  Task<Result<void, KvError>> resize(std::string_view key, std::uint64_t size);
  Task<Result<void, KvError>> sync();

 private:
  using Done = Result<void, KvError>;
  using Cluster = Result<std::uint32_t, KvError>;
  static constexpr std::uint64_t maximum_size = maximum_value;

  // fat.cpp: operations, in their turn
  Task<Done> set_now(std::string_view key, Bytes value);
  Task<Done> set_partial_now(std::string_view key, std::uint64_t offset, Bytes bytes);
  Task<Done> write_within(const fat::Found& found, std::uint64_t offset, Bytes bytes);
  Task<Done> remove_now(std::string_view key);
  Task<Done> remove_tree(std::uint32_t parent, fat::Found top);
  Task<Done> remove_one(std::uint32_t parent, fat::Found found);
  Task<Done> rename_now(std::string_view from, std::string_view to);
  Task<Done> rename_over(const fat::Place& from, const fat::Found& to);
  Task<Done> rename_new(const fat::Place& from, const fat::Place& to);
  Task<Cluster> copy(const fat::Entry& entry);
  /// Where a value of this key is or is to be, with its directories made.
  Task<Result<fat::Place, KvError>> prepare(std::string_view key);
  /// Where the value of this key is, if it is.
  Task<Result<fat::Place, KvError>> walk_to_value(std::string_view key);
  /// Ends an operation: what is left to write is written, or forgotten after an error.
  Task<Done> settle(Done done);
  void forget_changes() noexcept;
  [[nodiscard]] static bool is_protected(const fat::Found& found) noexcept {
    return (found.entry.attributes & fat::attribute::read_only) != 0;
  }
  [[nodiscard]] fat::Stamp stamp() noexcept { return fat::Stamp::of(shard().wall()); }

  // in_place.cpp: values as files
  Task<Done> overwrite_now(std::string_view key, std::uint64_t offset, Bytes bytes);
  Task<Done> resize_now(std::string_view key, std::uint64_t size);
  Task<Done> make_zeros(std::string_view key, std::uint32_t size);
  Task<Done> grow(const fat::Found& found, std::uint32_t size);
  Task<Done> shrink(const fat::Found& found, std::uint32_t size);
  Task<Done> zero_range(std::uint32_t first, std::uint64_t offset, std::uint64_t length, bool fresh);

  // directory.cpp: entries of directories
  struct Plan {  // where a new entry goes
    fat::ShortName name{};
    std::uint32_t start = 0;  ///< its first entry
    std::uint32_t count = 1;
    std::uint32_t end = 0;  ///< of the directory
    bool at_end = false;
    bool marked = false;  ///< an end mark stands there
  };
  Task<Result<Plan, KvError>> plan(std::uint32_t directory, const fat::Name& name);
  Task<Done> create(std::uint32_t directory, const fat::Name& name, fat::Entry entry);
  Task<Done> place(std::uint32_t directory, const fat::Name& name, const fat::Entry& entry, const Plan& where);
  Task<Done> put_entry(std::uint32_t sector, std::uint32_t index, const fat::Name& name, const fat::Entry& entry,
                       const Plan& where);
  /// Puts the new entry into the unit that holds the old one, in one write. False: it does not fit.
  Task<Result<bool, KvError>> replace_in_unit(const fat::Place& from, const fat::Name& name, const Plan& where);
  Task<Done> make_room(std::uint32_t directory, std::uint32_t entries);
  Task<Done> erase(std::uint32_t directory, const fat::Found& found);
  Task<Done> mark_deleted(std::uint32_t sector, std::uint32_t first, std::uint32_t last);
  Task<Done> update(const fat::Found& found, std::uint32_t cluster, std::uint32_t size);
  Task<Cluster> make_directory(std::uint32_t parent, const fat::Name& name);
  Task<Cluster> chain_length(std::uint32_t first);
  Task<Result<std::optional<fat::Found>, KvError>> first_of(std::uint32_t directory);
  [[nodiscard]] std::uint32_t per_sector() const noexcept {
    return layout.sector_size / static_cast<std::uint32_t>(fat::entry_size);
  }
  [[nodiscard]] MutableBytes entry_bytes(Slot& slot, std::uint32_t index) const noexcept {
    return slot.bytes.subspan(index % per_sector() * fat::entry_size, fat::entry_size);
  }

  // table.cpp: clusters and sectors
  /// The sector in the cache, to be changed: marked as such.
  Task<Result<Slot*, KvError>> load_changed(std::uint32_t sector);
  Task<Done> put(std::uint32_t cluster, std::uint32_t value);
  /// A chain of free clusters; nothing refers to it yet.
  Task<Cluster> allocate(std::uint32_t count);
  Task<Done> release(std::uint32_t first);
  /// Writes into the chain; `fresh`: what else is in its sectors does not matter.
  Task<Done> write_range(std::uint32_t first, std::uint64_t offset, Bytes bytes, bool fresh);
  Task<Result<std::size_t, KvError>> write_run(std::uint64_t where, Bytes bytes, bool fresh);
  Task<Done> write_zeros(std::uint32_t cluster);
  Task<Done> write_disk(std::uint64_t sector_of_disk, Bytes bytes);
  [[nodiscard]] Done note(Done done) noexcept;
  /// Every changed sector to the disk, in no order.
  Task<Done> write_changes();
  Task<Done> write_slot(Slot& slot);
  /// The same, and flushed.
  Task<Done> commit();
  [[nodiscard]] std::uint32_t clusters_for(std::uint64_t size) const noexcept {
    return static_cast<std::uint32_t>((size + layout.cluster_size() - 1) / layout.cluster_size());
  }
  [[nodiscard]] std::uint32_t end_of_chain() const noexcept {
    return layout.type == fat::Type::fat12 ? 0xfff : layout.type == fat::Type::fat16 ? 0xffff : 0x0fffffff;
  }

  bool allow_volatile_;
  bool failed_ = false;
  bool counted_ = false;  // the FSInfo sector is to be written
};

template <Block B>
class Fat : private DiskHolder<B>, public FatCore {
 public:
  Fat(Shard& shard, B& block, bool allow_volatile) noexcept
      : DiskHolder<B>(shard, block), FatCore(this->held, allow_volatile) {}
};

}  // namespace mirage::store
