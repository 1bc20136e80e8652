// SPDX-License-Identifier: ISC
#include <bit>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/block_file.hpp>

namespace mirage::target::posix {

namespace {

constexpr std::uint64_t largest_transfer = std::uint64_t{4} << 20;

/// The sector size that the user gave; 0: none.
Result<std::uint32_t, StartError> given_sector_size(std::string_view name) noexcept {
  const char* text = find_attachment(Attachment::block_sector_size, name);
  if (text == nullptr) return 0;
  const auto size = parse_unsigned<std::uint32_t>(text);
  if (!size || *size < 512 || *size > 65536 || !std::has_single_bit(*size)) {
    return Failure{StartError{"bad sector size '{}'", text}};
  }
  return *size;
}

Result<bool, StartError> given_direct(std::string_view name) noexcept {
  const char* text = find_attachment(Attachment::block_direct, name);
  if (text == nullptr || std::string_view{text} == "off") return false;
  if (std::string_view{text} == "on") return true;
  return Failure{StartError{"--block-direct is 'on' or 'off', not '{}'", text}};
}

}  // namespace

BlockFile::~BlockFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void, StartError> BlockFile::open_path(const char* path, BlockGeometry& geometry) noexcept {
  const int flags = O_CLOEXEC | (direct_ ? O_DIRECT : 0);
  const bool shared = find_shard() != nullptr;  // mirage-shards has seen that it is not writable
  // A disk that is mounted, or that another program has for itself, is not ours to write: open(2), O_EXCL.
  struct stat status{};
  const bool is_disk = ::stat(path, &status) == 0 && S_ISBLK(status.st_mode);
  descriptor_ = shared ? -1 : ::open(path, O_RDWR | flags | (is_disk ? O_EXCL : 0));
  if (shared) errno = EACCES;
  if (descriptor_ < 0 && is_disk && errno == EBUSY) {
    return Failure{StartError{"'{}' is in use: it is mounted, or another program has the disk for itself", path}};
  }
  if (descriptor_ < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
    descriptor_ = ::open(path, O_RDONLY | flags);
    geometry.read_only = true;
  }
  if (descriptor_ < 0 && errno == EINVAL && direct_) {
    return Failure{StartError{"the file system of '{}' has no direct I/O: leave --block-direct out", path}};
  }
  if (descriptor_ < 0) return Failure{StartError{"cannot open '{}': {}", path, std::strerror(errno)}};
  if (::flock(descriptor_, (geometry.read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return Failure{StartError{"'{}' is in use by another process", path}};
  }
  return {};
}

/// Size and sectors: of a block device by ioctl_blk(2), of a file by its length.
Result<void, StartError> BlockFile::measure(const char* path, bool size_given, BlockGeometry& geometry) noexcept {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) return Failure{StartError{"'{}': {}", path, std::strerror(errno)}};
  std::uint64_t size = static_cast<std::uint64_t>(status.st_size);
  if (S_ISBLK(status.st_mode)) {
    int logical = 0;
    if (::ioctl(descriptor_, BLKGETSIZE64, &size) != 0 || ::ioctl(descriptor_, BLKSSZGET, &logical) != 0) {
      return Failure{StartError{"cannot measure '{}': {}", path, std::strerror(errno)}};
    }
    if (!size_given) geometry.sector_size = static_cast<std::uint32_t>(logical);
  } else if (!S_ISREG(status.st_mode)) {
    return Failure{StartError{"'{}' is neither a file nor a block device", path}};
  }
  if (size == 0 || size % geometry.sector_size != 0) {
    return Failure{
        StartError{"the size of '{}' must be a multiple of {} bytes, and not 0", path, geometry.sector_size}};
  }
  geometry.sectors = size / geometry.sector_size;
  return {};
}

/// What direct I/O asks of memory and of offsets, statx(2).
Result<void, StartError> BlockFile::align(BlockGeometry& geometry) const noexcept {
  if (!direct_) return {};
  struct statx status{};
  std::uint32_t offset = 512;
  geometry.alignment = 4096;
  if (::statx(descriptor_, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
      (status.stx_mask & STATX_DIOALIGN) != 0 && std::has_single_bit(status.stx_dio_mem_align)) {
    geometry.alignment = status.stx_dio_mem_align;
    offset = status.stx_dio_offset_align;
  }
  if (offset <= geometry.sector_size) return {};
  return Failure{StartError{"direct I/O moves {} bytes at least: add --block-sector-size:NAME={}", offset, offset}};
}

/// Holes behind the end of a file change nothing: they show whether the file system can punch them.
void BlockFile::probe(BlockGeometry& geometry) const noexcept {
  if (geometry.read_only) return;
  const auto end = static_cast<off_t>(geometry.bytes());
  struct stat status{};
  const bool device = ::fstat(descriptor_, &status) == 0 && S_ISBLK(status.st_mode);
  // Block devices have it; those whose hardware has not say so at each call.
  geometry.discard = geometry.write_zeroes =
      device || ::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, geometry.sector_size) == 0;
}

Result<void, StartError> BlockFile::open(std::string_view name, BlockGeometry& geometry) noexcept {
  const char* path = find_attachment(Attachment::block, name);
  if (path == nullptr) return Failure{StartError{"not attached"}};
  MIRAGE_TRY(const std::uint32_t given, given_sector_size(name));
  if (given != 0) geometry.sector_size = given;
  MIRAGE_TRY(direct_, given_direct(name));
  MIRAGE_CHECK(open_path(path, geometry));
  MIRAGE_CHECK(measure(path, given != 0, geometry));
  MIRAGE_CHECK(align(geometry));
  geometry.durability = Durability::fua;  // RWF_DSYNC
  geometry.maximum_transfer = largest_transfer;
  probe(geometry);
  return {};
}

}  // namespace mirage::target::posix
