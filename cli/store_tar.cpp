// SPDX-License-Identifier: ISC
// Images that are tar archives.
#include <algorithm>
#include <format>

#include <cli/store_image.hpp>
#include <mirage/store/tar/append.hpp>

namespace mirage::cli {

namespace {

/// The store is constructed before the image that refers to it.
template <class Store>
struct TarHolder {
  template <class... More>
  explicit TarHolder(ImageFile& file, More... more) : store(file.shard(), file, more...) {}
  Store store;
};

template <class Store>
class TarImage final : private TarHolder<Store>, public KvImage<Store> {
  using Holder = TarHolder<Store>;

 public:
  template <class... More>
  explicit TarImage(ImageFile& file, More... more)
      : Holder(file, more...), KvImage<Store>(file, Holder::store), file_(file) {
    const auto started = file_.await(Holder::store.start());
    if (!started) file_.fail_with(started.error(), "tar: ");
  }

  /// Whoever got here has read all headers.
  StoreReport check() override {
    StoreReport report;
    report.figures = {{"members", Holder::store.members()}, {"bytes used", Holder::store.used()}};
    report.remarks.emplace_back("tar has checksums of headers only");
    if (left_out() != 0)
      report.remarks.push_back(
          std::format("{} members are left out: links, devices, sparse files, or names that are "
                      "no keys",
                      left_out()));
    return report;
  }
  [[nodiscard]] std::uint64_t left_out() const override { return Holder::store.left_out(); }

 private:
  ImageFile& file_;
};

class TarFormat final : public StoreFormat {
 public:
  [[nodiscard]] std::string_view name() const override { return "tar"; }
  [[nodiscard]] std::string_view description() const override { return "a tar archive, to which values are appended"; }
  [[nodiscard]] bool recognises(Bytes head) const override {
    using namespace store::tar;
    return head.size() >= block_size && !is_zero(head.first(block_size)) &&
           Header::parse(head.first(block_size)).has_value();
  }
  [[nodiscard]] std::size_t head_size() const override { return store::tar::block_size; }
  /// An empty archive is two blocks of zeros; what is behind them does not count.
  void format(ImageFile& file) const override {
    if (!file.is_blank()) file.fail("the image is not blank", "--force makes an empty archive in its place.");
  }
  [[nodiscard]] std::unique_ptr<StoreImage> open(ImageFile& file) const override {
    if (file.geometry().read_only) return std::make_unique<TarImage<store::Tar<ImageFile>>>(file);
    return std::make_unique<TarImage<store::TarAppend<ImageFile>>>(file, false);
  }
};

}  // namespace

const StoreFormat& tar_format() {
  static const TarFormat format;
  return format;
}

}  // namespace mirage::cli
