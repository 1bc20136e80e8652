// SPDX-License-Identifier: ISC
// Images that are volumes: the data and the journal of an SQLite database, as two values.
#include <algorithm>
#include <format>

#include <cli/store_image.hpp>
#include <mirage/store/volume/volume.hpp>

namespace mirage::cli {

namespace {

using Volume = store::Volume<ImageFile>;

class VolumeImage final : public StoreImage {
 public:
  explicit VolumeImage(ImageFile& file) : file_(file), volume_(file.shard(), file) {
    const auto started = file_.await(volume_.start());
    if (!started) file_.fail_with(started.error());
  }

  /// Whoever got here has read the header.
  StoreReport check() override {
    StoreReport report;
    report.figures = {{"bytes of data", volume_.data().size()}, {"bytes of journal", volume_.journal().size()}};
    report.remarks.emplace_back("a volume has checksums of its headers only");
    if (has_hot_journal(*this, "data"))
      report.remarks.emplace_back("a transaction of the database is unfinished: the next start rolls it back");
    return report;
  }
  StoreEntry find(const std::string& key) override {
    if (key.empty()) return {.key = key, .kind = KvKind::directory};
    const Volume::Part* const part = part_of(key);
    if (part == nullptr) return {.key = key, .kind = KvKind::absent};
    return {.key = key, .kind = KvKind::value, .size = part->size()};
  }
  std::vector<StoreEntry> list(const std::string& directory) override {
    if (!directory.empty()) file_.fail(std::format("'{}' is no directory: a volume has none", directory));
    return {find("data"), find("journal")};
  }
  std::string read(const std::string& key, std::uint64_t offset) override {
    std::string bytes(std::size_t{1} << 20, '\0');
    bytes.resize(need(key, file_.await(need_part(key).read_at(offset, std::as_writable_bytes(std::span{bytes})))));
    return bytes;
  }
  void write(std::span<const StoreValue> values) override {
    for (const StoreValue& each : values) (void)need_part(each.key);  // before anything is written
    // The database first: it would take the journal along that is set with it.
    for (const std::string_view key : {"data", "journal"}) {
      for (const StoreValue& each : values) {
        if (each.key != key) continue;
        make_room(each.key, each.bytes.size());
        need(each.key, file_.await(need_part(each.key).write_at(0, as_bytes(each.bytes))));
        settle(each.key);
      }
    }
  }
  void write_large(const std::string& key, StoreSource& source) override {
    Volume::Part& part = need_part(key);
    const std::uint64_t size = source.size(file_.geometry().bytes());
    make_room(key, size);
    std::uint64_t at = 0;
    for (std::string piece = source.next(); !piece.empty() && at + piece.size() <= size; piece = source.next()) {
      need(key, file_.await(part.write_at(at, as_bytes(piece))));
      at += piece.size();
    }
    if (at != size) file_.fail(std::format("'{}': what it was read from has changed meanwhile: it is empty now", key));
    settle(key);
  }
  void remove(const std::string& key) override {
    (void)need_part(key);
    file_.fail(std::format("'{}' cannot be removed: a volume has both, always", key));
  }

 private:
  [[nodiscard]] Volume::Part* part_of(const std::string& key) noexcept {
    if (key == "data") return &volume_.data();
    return key == "journal" ? &volume_.journal() : nullptr;
  }
  Volume::Part& need_part(const std::string& key) {
    Volume::Part* const part = part_of(key);
    if (part == nullptr) file_.fail(std::format("'{}': a volume has 'data' and 'journal' only", key));
    return *part;
  }
  /// It is overwritten in place: that it fits is known before the old bytes go, and that it is empty is durable. A
  /// database takes its journal along, which SQLite would roll back into the new one; not before it, for then the
  /// database would be left as a transaction had it that is not over. (The journal of an empty one SQLite deletes.)
  void make_room(const std::string& key, std::uint64_t size) {
    Volume::Part& part = need_part(key);
    const bool is_data = &part == &volume_.data();
    const bool fits = is_data ? store::volume::chunks_for(size) <= volume_.chunks() : part.has_room(size);
    if (!fits) file_.fail_with(FileError::no_space, key);
    empty(key);
    if (is_data) empty("journal");
  }
  void empty(const std::string& key) {
    need(key, file_.await(need_part(key).truncate(0)));
    need(key, file_.await(need_part(key).sync()));
  }
  /// The bytes are durable before the size says that they are there: a power cut leaves all of them, or none. (sync()
  /// alone has both in one flush.)
  void settle(const std::string& key) {
    using store::volume::chunk_size;
    Volume::Part& part = need_part(key);
    const std::uint64_t size = part.size();
    // The last chunk is written when another takes its place in memory: the first, or one behind the end.
    std::byte byte{};
    if (size > chunk_size) {
      need(key, file_.await(part.read_at(0, {&byte, 1})));
    } else if (size > 0 && part.has_room(chunk_size + 1)) {
      need(key, file_.await(part.write_at(chunk_size, {&byte, 1})));
      need(key, file_.await(part.truncate(size)));
    }
    if (const BlockResult flushed = file_.await(file_.flush()); !flushed) file_.fail_with(flushed.error());
    need(key, file_.await(part.sync()));
  }
  template <class T>
  T need(const std::string& key, Result<T, FileError> result) {
    if (!result) file_.fail_with(result.error(), key);
    if constexpr (!std::is_void_v<T>) return *result;
  }
  ImageFile& file_;
  Volume volume_;
};

class VolumeFormat final : public StoreFormat {
 public:
  [[nodiscard]] std::string_view name() const override { return "volume"; }
  [[nodiscard]] std::string_view description() const override { return "an SQLite database on a raw disk"; }
  [[nodiscard]] bool recognises(Bytes head) const override {
    using namespace store::volume;
    if (head.size() < 2 * any_disk.slot) return false;
    const Finding found =
        judge(head.first(any_disk.slot), head.subspan(any_disk.slot, any_disk.slot), any_disk).finding;
    return found == Finding::good || found == Finding::damaged;
  }
  [[nodiscard]] std::size_t head_size() const override { return 2 * any_disk.slot; }
  void format(ImageFile& file) const override {
    if (!file.is_blank()) file.fail("the image is not blank", "--force makes a new volume in its place.");
    Volume volume{file.shard(), file};
    const auto made = file.await(volume.format());
    if (!made) file.fail_with(made.error());
  }
  [[nodiscard]] std::unique_ptr<StoreImage> open(ImageFile& file) const override {
    return std::make_unique<VolumeImage>(file);
  }

 private:
  static constexpr store::volume::Layout any_disk{.chunks = ~std::uint64_t{0}};
};

}  // namespace

const StoreFormat& volume_format() {
  static const VolumeFormat format;
  return format;
}

}  // namespace mirage::cli
