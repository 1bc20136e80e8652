// SPDX-License-Identifier: ISC
// Only one process at a time works in a folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

namespace mirage::cli {

/// The programs that we start have the descriptor, too: they keep the lock for as long as they work there, also without
/// us.
class FolderLock {
 public:
  /// Waits until nobody else holds the folder, which must be there; says `waiting` on standard error when that is not
  /// at once (empty: nothing). A file system without locks is taken as it is. Throws Error.
  [[nodiscard]] static FolderLock of_folder(const std::filesystem::path& folder, std::string_view waiting);
  /// The same of a file for the purpose, made when it is not there: NFS locks nothing that cannot be written.
  [[nodiscard]] static FolderLock of_file(const std::filesystem::path& file, std::string_view waiting);
  /// To look at a folder that nobody changes meanwhile; none when somebody does, or it is not there.
  [[nodiscard]] static std::optional<FolderLock> if_free(const std::filesystem::path& folder);

  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

  /// Whether it is still the file of this name that is locked.
  [[nodiscard]] bool is(const std::filesystem::path& file) const;

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  [[nodiscard]] static FolderLock wait(const std::filesystem::path& file, int how, std::string_view waiting);

  int descriptor_;
};

}  // namespace mirage::cli
