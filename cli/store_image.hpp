// SPDX-License-Identifier: ISC
// Images of stores on the host, for `mirage store`: one small interface for all formats, and a table of them.
//
// A new format is one file: a StoreFormat over a StoreImage (KvImage does most of it for what meets KvRo), and a line
// in store_formats().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <format>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <cli/store_disk.hpp>
#include <cli/store_layer.hpp>
#include <config/error.hpp>
#include <mirage/async/scope.hpp>
#include <mirage/module/kv.hpp>

namespace mirage::cli {

/// What the stores run in: the host's clock and entropy; what they log is not shown.
class HostEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override;
  WallTime wall() noexcept override;
  bool entropy(MutableBytes out) noexcept override;
  void wait(Time deadline) noexcept override;
  [[nodiscard]] std::size_t memory() const noexcept override { return std::size_t{256} << 20; }
  void write_console(std::string_view) noexcept override {}
};

/// A name from an image, for the terminal: in quotes, with escapes, when it has what is not printed.
[[nodiscard]] std::string shown(std::string_view name);

/// Sectors that cannot be read.
struct StoreDamage {
  std::uint64_t sectors = 0;
  std::uint64_t first = 0;
};

/// The disk that a store is on: the image's file, or what its layers make of it.
class ImageFile {
 public:
  using Mode = DiskFile::Mode;
  /// `layers`: from the file to the store. `create`: those that are made of blank disks are. Throws plan::Error.
  ImageFile(std::string path, Mode mode, std::span<const LayerChoice> layers = {}, bool create = false);
  /// In its place a blank disk that is as large and forgets what is written: what can be made on it can be made there.
  ImageFile(std::string path, const BlockGeometry& geometry);

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return top_->port().geometry(); }
  Quick<BlockResult> read(std::uint64_t sector, MutableBytes bytes) { return top_->port().read(sector, bytes); }
  Quick<BlockResult> write(std::uint64_t sector, Bytes bytes) { return top_->port().write(sector, bytes); }
  Task<BlockResult> flush() { return top_->port().flush(); }
  Task<BlockResult> write_durable(std::uint64_t sector, Bytes bytes) {
    return top_->port().write_durable(sector, bytes);
  }
  /// Its first bytes, at most `count`: by them a format knows its images. Throws plan::Error.
  [[nodiscard]] std::string head(std::size_t count);
  /// Whether a store may be made on it unasked. Throws plan::Error.
  [[nodiscard]] bool is_blank();
  /// Durably, whole sectors from these bytes on: no further than its end. Throws plan::Error.
  void clear(std::uint64_t from, std::uint64_t count);
  /// Reads every sector: with a layer that has checksums or tags that says what is damaged.
  [[nodiscard]] StoreDamage read_all();
  /// Whether a layer finds damage.
  [[nodiscard]] bool is_verified() const noexcept { return top_->verifies(); }

  /// Runs a task to its end. Throws plan::Error when there was no memory for it.
  template <class T>
  T await(Quick<T> quick) {
    return await(result_of(shard_, quick));
  }
  template <class T>
  T await(Task<T> task) {
    auto value = run(shard_, std::move(task));
    if (!value) throw plan::Error(path_, "out of memory");
    // What went well in the end, from a second copy for instance, is the reason of no later error.
    if constexpr (requires { value->has_value(); }) {
      if (value->has_value()) (void)top_->take_failure();
    }
    return *std::move(value);
  }
  [[noreturn]] void fail(std::string_view what, std::string mend = {}) const {
    throw plan::Error(path_, std::string{what}, std::move(mend));
  }
  /// In words. The host knows more than that there was an input/output error: that its disk is full, for instance.
  template <class E>
  [[nodiscard]] std::string reason_of(E error) {
    const std::string host = error == E::io ? host_reason() : std::string();
    return host.empty() ? std::string{to_string(error)} : host;
  }
  /// Ends with an error of the disk or the store, about the value of this key unless it is empty.
  template <class E>
    requires std::is_enum_v<E>
  [[noreturn]] void fail_with(E error, std::string_view key = {}) {
    fail((key.empty() ? "" : "'" + shown(key) + "': ") + reason_of(error));
  }
  /// Ends with what a store or a layer could not start for. "fat: the volume is ..." is the store's own way to say it;
  /// here the place says which image.
  [[noreturn]] void fail_with(const StartError& error, std::string_view prefix = {}, std::string mend = {}) {
    const std::string_view text = error.text();
    const std::string host = host_reason();
    fail(std::format("{}{}", text.starts_with(prefix) ? text.substr(prefix.size()) : text,
                     host.empty() ? "" : " (" + host + ")"),
         std::move(mend));
  }

 private:
  /// What the host said of the operation that has failed last; empty: nothing that the error does not say.
  [[nodiscard]] std::string host_reason();
  template <class T>
  static Task<T> result_of(Shard&, Quick<T>& quick) {
    co_return co_await quick;
  }
  std::string path_;
  HostEnvironment environment_;
  Shard shard_{environment_};
  std::unique_ptr<Layer> top_;
};

struct StoreEntry {
  std::string key;
  KvKind kind = KvKind::value;
  std::uint64_t size = 0;
};

/// A value to write.
struct StoreValue {
  std::string key;
  std::string bytes;
};

/// A value that is too large to be held: its bytes once, in order.
class StoreSource {
 public:
  StoreSource() = default;
  StoreSource(const StoreSource&) = delete;
  StoreSource& operator=(const StoreSource&) = delete;
  virtual ~StoreSource() = default;
  /// Empty at the end.
  virtual std::string next() = 0;
  /// How many bytes next() will give; more than `limit` when there are more. A pipe is copied to a temporary file.
  virtual std::uint64_t size(std::uint64_t limit) = 0;
};

/// What a check found.
struct StoreReport {
  std::string problem;  ///< empty: none
  std::vector<std::pair<std::string, std::uint64_t>> figures;
  std::vector<std::string> remarks;  ///< not wrong, but worth saying
};

/// An open image. All throw plan::Error.
class StoreImage {
 public:
  StoreImage() = default;
  StoreImage(const StoreImage&) = delete;
  StoreImage& operator=(const StoreImage&) = delete;
  virtual ~StoreImage() = default;
  virtual StoreReport check() = 0;
  /// What the image has and the store does not show.
  [[nodiscard]] virtual std::uint64_t left_out() const { return 0; }
  /// More directories and values than this it cannot have: directories that contain each other seem to have.
  [[nodiscard]] virtual std::uint64_t most_entries() const { return ~std::uint64_t{0}; }
  /// Equal for keys that are the same to the store.
  [[nodiscard]] virtual std::string folded(const std::string& key) const { return key; }
  virtual StoreEntry find(const std::string& key) = 0;
  /// The whole directory, in order.
  virtual std::vector<StoreEntry> list(const std::string& directory) = 0;
  /// Some bytes from `offset`, at least one before the value's end.
  virtual std::string read(const std::string& key, std::uint64_t offset) = 0;
  // A value is written as a whole: where it finds no room the old one stays.
  /// In order; as few steps as the store can.
  virtual void write(std::span<const StoreValue> values) = 0;
  virtual void write_large(const std::string& key, StoreSource& source) = 0;
  virtual void remove(const std::string& key) = 0;
};

/// The key of the journal of a database of SQLite's, `journal` beside `data`; empty: the key is not called so.
[[nodiscard]] std::string journal_of(std::string_view key);
/// Whether the value is such a database in the middle of a transaction: its journal has what SQLite rolls back at the
/// next start.
[[nodiscard]] bool has_hot_journal(StoreImage& image, std::string_view key);

class StoreFormat {
 public:
  StoreFormat() = default;
  StoreFormat(const StoreFormat&) = delete;
  StoreFormat& operator=(const StoreFormat&) = delete;
  virtual ~StoreFormat() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view description() const = 0;
  /// Whether an image that begins like this (up to 64 KiB) is one of these, intact or not.
  [[nodiscard]] virtual bool recognises(Bytes head) const = 0;
  /// The bytes at the beginning that recognises() looks at.
  [[nodiscard]] virtual std::size_t head_size() const = 0;
  /// Makes an empty store of the whole file. Throws when the file is not blank.
  virtual void format(ImageFile& file) const = 0;
  [[nodiscard]] virtual std::unique_ptr<StoreImage> open(ImageFile& file) const = 0;
};

/// All formats. The first is what `mirage store format` makes unless told otherwise.
[[nodiscard]] std::span<const StoreFormat* const> store_formats();

// In a file of its own each.
const StoreFormat& tree_format();
const StoreFormat& fat_format();
const StoreFormat& tar_format();
const StoreFormat& volume_format();

/// Listing, reading and writing over anything that is a KvRo; writing where it is a KvRw, in one step where it is a
/// KvBatch.
template <KvRo K>
class KvImage : public StoreImage {
 public:
  KvImage(ImageFile& file, K& store) : file_(file), store_(store) {}

  StoreEntry find(const std::string& key) override {
    StoreEntry entry{.key = key};
    entry.kind = need(key, file_.await(await_result<KvKind>(file_.shard(), store_.exists(key))));
    if (entry.kind == KvKind::value)
      entry.size = need(key, file_.await(await_result<KvInfo>(file_.shard(), store_.info(key)))).size;
    return entry;
  }

  std::vector<StoreEntry> list(const std::string& directory) override {
    std::vector<StoreEntry> entries;
    std::string after;
    while (true) {
      const KvPage page =
          need(directory, file_.await(await_result<KvPage>(file_.shard(), store_.list(directory, after, 1000))));
      for (const KvEntry each : page) {
        after = each.name;
        entries.push_back(
            {.key = directory.empty() ? after : directory + "/" + after, .kind = each.kind, .size = each.size});
        // What an image says is not trusted with the host's paths.
        if (!valid_key(entries.back().key) || after.empty()) fail(directory, KvError::corrupt);
      }
      if (!page.more()) return entries;
      if (page.empty()) fail(directory, KvError::corrupt);
    }
  }

  std::string read(const std::string& key, std::uint64_t offset) override {
    const SliceList slices =
        need(key, file_.await(await_result<SliceList>(file_.shard(), store_.get(key, offset, read_size))));
    std::string bytes;
    for (const Slice& slice : slices) bytes += slice.text();
    return bytes;
  }

  void write(std::span<const StoreValue> values) override {
    if constexpr (KvBatch<K>) {
      std::vector<KvChange> changes;
      for (const StoreValue& each : values) changes.push_back({.key = each.key, .value = as_bytes(each.bytes)});
      change(values.empty() ? "" : values.front().key, changes);
    } else {
      for (const StoreValue& each : values) set(each.key, each.bytes);
    }
  }

  /// A store that renames without a copy gets it piece by piece under another name; of others one that is no larger
  /// than the disk is held: their set() is whole or absent.
  void write_large(const std::string& key, StoreSource& source) override {
    if constexpr (KvBatch<K>) return write_pieces(key, source);
    std::string all;
    for (std::string piece = source.next(); !piece.empty(); piece = source.next()) {
      all += piece;
      if (all.size() > file_.geometry().bytes()) fail(key, KvError::no_space);
    }
    set(key, all);
  }

  void remove(const std::string& key) override {
    if constexpr (KvRw<K>) {
      need(key, file_.await(await_result<void>(file_.shard(), store_.remove(key))));
    } else {
      fail(key, KvError::read_only);
    }
  }

 protected:
  static constexpr std::uint64_t read_size = std::uint64_t{1} << 20;
  [[noreturn]] void fail(const std::string& key, KvError error) const { file_.fail_with(error, key); }
  template <class T>
  T need(const std::string& key, Result<T, KvError> result) const {
    if (!result) fail(key, result.error());
    if constexpr (!std::is_void_v<T>) return *std::move(result);
  }
  /// Whatever the store's operation returns, as a task.
  template <class T, class A>
  static Task<Result<T, KvError>> await_result(Shard&, A awaitable) {
    co_return co_await std::move(awaitable);
  }

 private:
  void set(const std::string& key, const std::string& bytes) {
    if constexpr (requires { store_.set(key, Bytes{}); }) {
      need(key, file_.await(await_result<void>(file_.shard(), store_.set(key, as_bytes(bytes)))));
    } else {
      fail(key, KvError::read_only);
    }
  }
  void change(const std::string& key, std::span<const KvChange> changes)
    requires KvBatch<K>
  {
    need(key, file_.await(await_result<void>(file_.shard(), store_.batch(changes))));
  }
  /// A name that nothing has; a process that is killed leaves its value there.
  std::string unused_key() {
    for (unsigned i = 0;; ++i) {
      std::string key = "mirage-store-incomplete-" + std::to_string(i);
      if (find(key).kind == KvKind::absent) return key;
    }
  }
  void write_pieces(const std::string& key, StoreSource& source)
    requires KvBatch<K>
  {
    const std::string temporary = unused_key();
    try {
      std::uint64_t at = 0;
      for (std::string piece = source.next(); !piece.empty(); at += piece.size(), piece = source.next()) {
        change(key, std::array{KvChange{.kind = at == 0 ? KvChange::Kind::set : KvChange::Kind::set_partial,
                                        .key = temporary,
                                        .value = as_bytes(piece),
                                        .offset = at}});
      }
      change(key, std::array{KvChange{.kind = KvChange::Kind::rename, .key = temporary, .to = key}});
    } catch (...) {
      // Of a store that failed at this, too, the first error is what is said.
      const KvChange removed{.kind = KvChange::Kind::remove, .key = temporary};
      (void)file_.await(await_result<void>(file_.shard(), store_.batch(std::span{&removed, 1})));
      throw;
    }
  }
  ImageFile& file_;
  K& store_;
};

}  // namespace mirage::cli
