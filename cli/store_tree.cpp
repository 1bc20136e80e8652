// SPDX-License-Identifier: ISC
// Images of the tree store.
#include <format>

#include <cli/store_image.hpp>
#include <mirage/store/tree/tree.hpp>

namespace mirage::cli {

namespace {

using Tree = store::Tree<ImageFile>;

/// The store is constructed before the image that refers to it.
struct TreeHolder {
  explicit TreeHolder(ImageFile& file) : tree(file.shard(), file, {.cache_bytes = std::size_t{32} << 20}) {}
  Tree tree;
};

class TreeImage final : private TreeHolder, public KvImage<Tree> {
 public:
  explicit TreeImage(ImageFile& file) : TreeHolder(file), KvImage(file, tree), file_(file) {
    const auto started = file_.await(tree.start());
    if (!started) file_.fail_with(started.error(), "tree: ");
  }

  StoreReport check() override {
    store::tree::WalkReport walk;
    const auto checked = file_.await(tree.store().check(walk));
    StoreReport report;
    if (!walk.problem.empty()) {
      report.problem = std::format("{} (page {})", walk.problem, walk.bad_page);
    } else if (!checked) {
      report.problem = file_.reason_of(checked.error());
    }
    const store::tree::Superblock& state = tree.store().core().state();
    report.figures = {{"values", walk.keys},           {"large values", walk.objects}, {"nodes", walk.nodes},
                      {"data pages", walk.data_pages}, {"pages", state.pages},         {"commit", state.generation}};
    if (tree.store().damaged_superblocks() != 0)
      report.remarks.push_back("a superblock is damaged or was torn; its copy is good");
    return report;
  }

 private:
  ImageFile& file_;
};

class TreeFormat final : public StoreFormat {
 public:
  [[nodiscard]] std::string_view name() const override { return "tree"; }
  [[nodiscard]] std::string_view description() const override { return "survives crashes; batches and snapshots"; }
  [[nodiscard]] bool recognises(Bytes head) const override {
    // Any of the superblocks, also a damaged one.
    for (std::uint32_t slot = 0; slot < store::tree::first_page; ++slot) {
      const std::size_t at = slot * store::tree::page_size;
      if (head.size() < at + store::tree::page_size) return false;
      const auto decoded = store::tree::decode_superblock(head.subspan(at, store::tree::page_size), slot);
      if (decoded.state != store::tree::SuperblockState::foreign) return true;
    }
    return false;
  }
  [[nodiscard]] std::size_t head_size() const override { return store::tree::first_page * store::tree::page_size; }
  void format(ImageFile& file) const override {
    store::tree::Id id;
    if (!file.shard().environment().entropy(std::as_writable_bytes(std::span{&id, 1})))
      file.fail("no entropy for the store's id");
    Tree tree{file.shard(), file};
    const auto formatted = file.await(tree.store().format(id, false));
    if (formatted) return;
    const bool is_taken = formatted.error().text().contains("not blank");
    file.fail_with(formatted.error(), "tree: ", is_taken ? "--force makes a new store in its place." : "");
  }
  [[nodiscard]] std::unique_ptr<StoreImage> open(ImageFile& file) const override {
    return std::make_unique<TreeImage>(file);
  }
};

}  // namespace

const StoreFormat& tree_format() {
  static const TreeFormat format;
  return format;
}

}  // namespace mirage::cli
