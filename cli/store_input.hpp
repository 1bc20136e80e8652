// SPDX-License-Identifier: ISC
// What goes into a store, for `mirage store set` and `import`: files of the host, standard input, folders.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <cli/store_image.hpp>

namespace mirage::cli {

/// A file of the host, or standard input. A stream of the library takes an error of the disk for the end of the file.
class InputFile final : public StoreSource {
 public:
  explicit InputFile(const std::string& name);
  explicit InputFile(int descriptor) : name_("standard input"), descriptor_(descriptor) {}
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() override;
  /// Up to `limit` bytes; fewer at the end only.
  std::string read(std::size_t limit);
  /// What next() gives first. Precondition: it was read, and size() was not asked yet.
  void put_back(std::string bytes) { held_ = std::move(bytes); }
  std::string next() override;
  std::uint64_t size(std::uint64_t limit) override;
  /// Bytes that next() gave.
  [[nodiscard]] std::uint64_t given() const noexcept { return given_; }

 private:
  [[noreturn]] void fail(std::string_view what) const;
  /// Goes on from a temporary file that has no name; its size.
  std::uint64_t spool(std::uint64_t limit);
  std::string name_;
  int descriptor_;
  std::string held_;
  std::uint64_t given_ = 0;
};

/// Collects values until they are worth a step of the store.
class Importer {
 public:
  explicit Importer(StoreImage& image) : image_(image) {}
  void add(const std::string& key, InputFile&& from);
  void flush();
  std::uint64_t files = 0;
  std::uint64_t total = 0;

 private:
  StoreImage& image_;
  std::vector<StoreValue> values_;
  std::size_t collected_ = 0;
};

/// A file and the key that it gets.
struct ImportFile {
  std::string key;
  std::string path;
};
/// All files below the folder, in the order of their names. Throws plan::Error.
[[nodiscard]] std::vector<ImportFile> files_of(const std::string& folder, const std::string& prefix);

}  // namespace mirage::cli
