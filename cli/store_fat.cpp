// SPDX-License-Identifier: ISC
// Images of FAT volumes.
#include <algorithm>
#include <format>

#include <cli/store_image.hpp>
#include <mirage/store/fat/check.hpp>
#include <mirage/store/fat/fat.hpp>
#include <mirage/store/fat/format.hpp>

namespace mirage::cli {

namespace {

/// The store is constructed before the image that refers to it.
template <class Store>
struct FatHolder {
  template <class... More>
  explicit FatHolder(ImageFile& file, More... more) : store(file.shard(), file, more...) {}
  Store store;
};

/// `Store` reads, or reads and writes.
template <class Store>
class FatImage final : private FatHolder<Store>, public KvImage<Store> {
 public:
  template <class... More>
  explicit FatImage(ImageFile& file, More... more)
      : FatHolder<Store>(file, more...), KvImage<Store>(file, FatHolder<Store>::store), file_(file) {
    const auto started = file_.await(FatHolder<Store>::store.start());
    if (!started) file_.fail_with(started.error(), "fat: ");
  }

  StoreReport check() override {
    store::FatCheck<ImageFile> check{file_.shard(), file_};
    if (const auto started = file_.await(check.start()); !started) file_.fail_with(started.error(), "fat: ");
    const auto found = file_.await(check.check());
    StoreReport report;
    if (!found) {
      report.problem = file_.reason_of(found.error());
      return report;
    }
    if (found->damaged()) {
      report.problem = std::format("{} clusters with two owners, {} broken chains, {} unreadable directories",
                                   found->cross_linked, found->broken_chains, found->unreadable);
    }
    report.figures = {{"values", found->values},
                      {"directories", found->directories},
                      {"used clusters", found->used_clusters},
                      {"clusters", check.geometry().clusters}};
    remark(report, found->lost_clusters, "clusters are in use of nothing");
    remark(report, found->surplus_clusters, "clusters are behind the end of a value");
    remark(report, found->differing_sectors, "sectors of the tables differ");
    if (found->free_count_wrong) report.remarks.emplace_back("the count of free clusters is wrong");
    if (!report.remarks.empty()) report.remarks.emplace_back("a power cut leaves that; fsck.fat -a mends it");
    return report;
  }

  /// An entry has 32 bytes, in the root or in clusters.
  [[nodiscard]] std::uint64_t most_entries() const override {
    const store::fat::Layout& layout = FatHolder<Store>::store.geometry();
    return layout.root_entries + std::uint64_t{layout.clusters} * layout.cluster_size() / store::fat::entry_size;
  }
  [[nodiscard]] std::string folded(const std::string& key) const override {
    std::string all;
    for (std::size_t at = 0; at <= key.size();) {
      const std::string part = key.substr(at, key.find('/', at) - at);
      at += part.size() + 1;
      const auto name = store::fat::Name::from_key(part);
      if (!name) return key;  // which the store refuses
      for (const char16_t unit : name->units())
        all += std::format("{:04x}", std::uint16_t{store::fat::upper_case(unit)});
      all += '/';
    }
    return all;
  }

 private:
  static void remark(StoreReport& report, std::uint64_t count, std::string_view what) {
    if (count != 0) report.remarks.push_back(std::format("{} {}", count, what));
  }
  ImageFile& file_;
};

class FatFormat final : public StoreFormat {
 public:
  [[nodiscard]] std::string_view name() const override { return "fat"; }
  [[nodiscard]] std::string_view description() const override { return "FAT12, FAT16 or FAT32, for exchange"; }
  [[nodiscard]] bool recognises(Bytes head) const override {
    return head.size() >= any_disk && store::fat::Layout::parse(head, any_disk, ~std::uint64_t{0}).has_value();
  }
  [[nodiscard]] std::size_t head_size() const override { return any_disk; }
  void format(ImageFile& file) const override {
    if (!file.is_blank()) file.fail("the image is not blank", "--force makes a new volume in its place.");
    store::fat::FormatOptions options;
    if (!file.shard().environment().entropy(std::as_writable_bytes(std::span{&options.id, 1})))
      file.fail("no entropy for the volume's id");
    store::DiskOf<ImageFile> disk{file.shard(), file};
    const auto made = file.await(store::fat::format(disk, options));
    if (!made) file.fail_with(made.error(), "fat: ");
  }
  [[nodiscard]] std::unique_ptr<StoreImage> open(ImageFile& file) const override {
    if (file.geometry().read_only) return std::make_unique<FatImage<store::FatReader<ImageFile>>>(file);
    return std::make_unique<FatImage<store::Fat<ImageFile>>>(file, false);
  }

 private:
  static constexpr std::uint32_t any_disk = 512;
};

}  // namespace

const StoreFormat& fat_format() {
  static const FatFormat format;
  return format;
}

}  // namespace mirage::cli
