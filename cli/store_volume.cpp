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
    if (!started) file_.fail(started.error().text());
  }

  /// Whoever got here has read the header.
  StoreReport check() override {
    StoreReport report;
    report.figures = {{"bytes of data", volume_.data().size()}, {"bytes of journal", volume_.journal().size()}};
    report.remarks.emplace_back("a volume has checksums of its headers only");
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
    for (const StoreValue& each : values) {
      make_room(each.key, each.bytes.size());
      need(each.key, file_.await(need_part(each.key).write_at(0, as_bytes(each.bytes))));
      sync();
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
    sync();
    if (at != size) file_.fail(std::format("'{}': what it was read from has changed meanwhile", key));
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
  /// It is overwritten in place: that it fits is known before the old bytes go.
  void make_room(const std::string& key, std::uint64_t size) {
    Volume::Part& part = need_part(key);
    if (!part.has_room(size)) file_.fail(std::format("'{}': {}", key, to_string(FileError::no_space)));
    need(key, file_.await(part.truncate(0)));
  }
  void sync() {
    for (Volume::Part* part : {&volume_.data(), &volume_.journal()}) need("sizes", file_.await(part->sync()));
  }
  template <class T>
  T need(const std::string& key, Result<T, FileError> result) {
    if (!result) file_.fail(std::format("'{}': {}", key, to_string(result.error())));
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
    if (!made) file.fail(made.error().text());
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
