// SPDX-License-Identifier: ISC
#include <cerrno>
#include <cstring>
#include <format>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cli/folder_lock.hpp>
#include <cli/report.hpp>
#include <config/error.hpp>

namespace mirage::cli {

namespace {

/// 0, or an errno.
int lock(int descriptor, int how) {
  while (flock(descriptor, how) != 0) {
    // There are none on this file system: then it goes without.
    if (errno == EBADF || errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP) return 0;
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

FolderLock FolderLock::wait(const std::filesystem::path& file, int how, std::string_view waiting) {
  FolderLock held(open(file.c_str(), how, 0666));  // NOLINT(android-cloexec-open): the lock is for our children, too
  int error = held.descriptor_ < 0 ? errno : lock(held.descriptor_, LOCK_EX | LOCK_NB);
  if (held.descriptor_ >= 0 && error == EWOULDBLOCK) {
    if (!waiting.empty()) say("mirage: {}\n", waiting);
    error = lock(held.descriptor_, LOCK_EX);
  }
  if (error == 0) return held;
  throw plan::Error("", std::format("cannot lock {}: {}", file.string(), std::strerror(error)));
}

FolderLock FolderLock::of_folder(const std::filesystem::path& folder, std::string_view waiting) {
  return wait(folder, O_RDONLY | O_DIRECTORY, waiting);
}

FolderLock FolderLock::of_file(const std::filesystem::path& file, std::string_view waiting) {
  return wait(file, O_RDWR | O_CREAT, waiting);
}

std::optional<FolderLock> FolderLock::if_free(const std::filesystem::path& folder) {
  FolderLock held(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (held.descriptor_ < 0 || lock(held.descriptor_, LOCK_SH | LOCK_NB) != 0) return std::nullopt;
  return held;
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool FolderLock::is(const std::filesystem::path& file) const {
  struct stat ours{};
  struct stat there{};
  return fstat(descriptor_, &ours) == 0 && stat(file.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
}

}  // namespace mirage::cli
