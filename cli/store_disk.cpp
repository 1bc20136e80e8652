// SPDX-License-Identifier: ISC
#include <cerrno>
#include <cstring>
#include <format>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cli/store_disk.hpp>
#include <config/error.hpp>

namespace mirage::cli {

namespace {

[[noreturn]] void fail_with_errno(const std::string& path, std::string_view what) {
  throw plan::Error(path, std::format("{}: {}", what, std::strerror(errno)));
}

/// A disk that is mounted, or that md or another program has, is theirs alone: open(2), O_EXCL.
int open_disk(const std::string& path, DiskFile::Mode mode) {
  const bool writes = mode == DiskFile::Mode::write;
  struct stat status{};
  const bool is_disk = stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
  const int descriptor =
      ::open(path.c_str(), (writes ? O_RDWR : O_RDONLY) | (writes && is_disk ? O_EXCL : 0) | O_CLOEXEC);
  if (descriptor < 0 && is_disk && errno == EBUSY)
    throw plan::Error(path, "is in use: it is mounted, or another program has the disk for itself");
  if (descriptor < 0 && errno == ENOENT)
    throw plan::Error(path, "is not there", "Make it: mirage store format --size 64M IMAGE.");
  if (descriptor < 0) fail_with_errno(path, "cannot be opened");
  return descriptor;
}

std::uint64_t size_of(const std::string& path, int descriptor) {
  struct stat status{};
  if (fstat(descriptor, &status) != 0) fail_with_errno(path, "cannot be looked at");
  if (S_ISREG(status.st_mode)) {
    if (status.st_size % 512 != 0)
      throw plan::Error(path, std::format("is cut off: {} bytes are no whole number of sectors", status.st_size),
                        "If that is all there should be: truncate -s %512 FILE");
    return static_cast<std::uint64_t>(status.st_size);
  }
  std::uint64_t size = 0;
  if (!S_ISBLK(status.st_mode) || ioctl(descriptor, BLKGETSIZE64, &size) != 0)
    throw plan::Error(path, "is neither a file nor a disk");
  return size;
}

}  // namespace

DiskFile::DiskFile(const std::string& path, Mode mode) : descriptor_(open_disk(path, mode)) {
  try {
    if (flock(descriptor_, (mode == Mode::write ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
      throw plan::Error(path, "is in use by another program");
    geometry_ = {.sector_size = 512,
                 .sectors = size_of(path, descriptor_) / 512,
                 .durability = Durability::fua,
                 .read_only = mode == Mode::read};
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

DiskFile::~DiskFile() { ::close(descriptor_); }

DiskFile::Created DiskFile::create(const std::string& path, std::uint64_t bytes) {
  int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  const bool is_new = descriptor >= 0;
  if (!is_new && errno == EEXIST) descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) fail_with_errno(path, "cannot be made");
  struct stat status{};
  const bool is_empty_file = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0;
  const bool made = !is_empty_file || ftruncate(descriptor, static_cast<off_t>(bytes)) == 0;
  const int error = errno;
  ::close(descriptor);
  const Created created = is_new ? Created::anew : is_empty_file ? Created::grown : Created::there_already;
  if (!made) {
    undo(path, created);
    errno = error;
    fail_with_errno(path, std::format("cannot be {} bytes long", bytes));
  }
  if (!is_empty_file && S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) != bytes)
    throw plan::Error(path, std::format("is there already, with {} bytes", status.st_size),
                      "Leave --size away to take it as it is, or remove it.");
  return created;
}

void DiskFile::undo(const std::string& path, Created created) noexcept {
  if (created == Created::anew) (void)::unlink(path.c_str());
  if (created == Created::grown) (void)!::truncate(path.c_str(), 0);
}

DiskFile::Outcome DiskFile::failed(int error) noexcept {
  failure_ = error;
  return Outcome{Failure{BlockError::io}};
}

DiskFile::Outcome DiskFile::read(std::uint64_t sector, MutableBytes bytes) noexcept {
  if (const auto range = check_range(geometry_, sector, bytes.size()); !range) return Outcome{range};
  auto at = static_cast<off_t>(sector * geometry_.sector_size);
  while (!bytes.empty()) {
    const ssize_t count = pread(descriptor_, bytes.data(), bytes.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed(count < 0 ? errno : 0);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    at += count;
  }
  return Outcome{Result<void, BlockError>{}};
}

DiskFile::Outcome DiskFile::write(std::uint64_t sector, Bytes bytes) noexcept { return put(sector, bytes, 0); }

DiskFile::Outcome DiskFile::write_durable(std::uint64_t sector, Bytes bytes) noexcept {
  return put(sector, bytes, RWF_DSYNC);
}

DiskFile::Outcome DiskFile::put(std::uint64_t sector, Bytes bytes, int flags) noexcept {
  if (geometry_.read_only) return Outcome{Failure{BlockError::read_only}};
  if (const auto range = check_range(geometry_, sector, bytes.size()); !range) return Outcome{range};
  auto at = static_cast<off_t>(sector * geometry_.sector_size);
  while (!bytes.empty()) {
    const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    const ssize_t count = pwritev2(descriptor_, &part, 1, at, flags);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed(count < 0 ? errno : 0);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    at += count;
  }
  return Outcome{Result<void, BlockError>{}};
}

DiskFile::Outcome DiskFile::flush() noexcept {
  if (fdatasync(descriptor_) != 0) return failed(errno);
  return Outcome{Result<void, BlockError>{}};
}

}  // namespace mirage::cli
