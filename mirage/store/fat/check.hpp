// SPDX-License-Identifier: ISC
// Goes through a whole FAT volume: which cluster belongs to what. For tests and for `mirage store check`.
#pragma once

#include <memory>

#include <mirage/store/fat/reader.hpp>

namespace mirage::store {

/// Damage is what loses or mixes up data; the rest is what a power cut leaves and what costs space only.
struct FatReport {
  std::uint64_t values = 0;
  std::uint64_t directories = 0;
  std::uint32_t used_clusters = 0;
  // Damage.
  std::uint64_t cross_linked = 0;   ///< clusters that belong to two things, or twice to one
  std::uint64_t broken_chains = 0;  ///< a chain that is shorter than its value, or ends in what is no cluster
  std::uint64_t unreadable = 0;     ///< directories that cannot be gone through
  // Waste.
  std::uint64_t lost_clusters = 0;      ///< in use, but of nothing
  std::uint64_t surplus_clusters = 0;   ///< behind the end of a value
  std::uint64_t differing_sectors = 0;  ///< of the tables
  bool free_count_wrong = false;
  [[nodiscard]] bool damaged() const noexcept { return cross_linked + broken_chains + unreadable != 0; }
};

class FatCheckCore : public FatReaderCore {
 public:
  using FatReaderCore::FatReaderCore;
  /// After start(). io and no_memory are errors of the check itself.
  Task<Result<FatReport, KvError>> check();

 private:
  Task<Result<void, KvError>> check_directory(std::uint32_t directory, std::uint32_t& after, std::uint32_t& below);
  /// Marks a chain as that of a value of `size` bytes, or of a directory.
  Task<Result<bool, KvError>> claim(std::uint32_t first, std::optional<std::uint64_t> size);
  Task<Result<void, KvError>> check_table();
  Task<Result<void, KvError>> compare_tables();
  [[nodiscard]] bool mark(std::uint32_t cluster) noexcept;

  static constexpr std::size_t maximum_depth = 512;
  std::unique_ptr<std::uint8_t[]> owned_;  // a bit for each cluster
  FatReport report_;
};

template <Block B>
class FatCheck : private DiskHolder<B>, public FatCheckCore {
 public:
  FatCheck(Shard& shard, B& block) noexcept : DiskHolder<B>(shard, block), FatCheckCore(this->held) {}
};

}  // namespace mirage::store
