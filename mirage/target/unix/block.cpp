// SPDX-License-Identifier: ISC
#include <bit>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/block.hpp>

namespace mirage::target::posix {

namespace {

Result<std::uint32_t, StartError> choose_sector_size(std::string_view name) noexcept {
  const char* text = find_attachment(Attachment::block_sector_size, name);
  if (text == nullptr) return 512;
  const auto size = parse_unsigned<std::uint32_t>(text);
  if (!size || *size < 512 || *size > 65536 || !std::has_single_bit(*size)) {
    return Failure{StartError{"block device '{}': bad sector size '{}'", name, text}};
  }
  return *size;
}

/// Calls `move(offset, done)` until `size` bytes are moved: its result is that of pread(2).
template <class Move>
Result<void, BlockError> move_all(std::uint64_t offset, std::size_t size, Move move) noexcept {
  for (std::size_t done = 0; done < size;) {
    const ssize_t count = move(static_cast<off_t>(offset + done), done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Failure{BlockError::io};  // 0: the file became shorter
    done += static_cast<std::size_t>(count);
  }
  return {};
}

}  // namespace

Block::~Block() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void, StartError> Block::open_file(const char* path) noexcept {
  descriptor_ = ::open(path, O_RDWR | O_CLOEXEC);
  if (descriptor_ < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
    descriptor_ = ::open(path, O_RDONLY | O_CLOEXEC);
    geometry_.read_only = true;
  }
  if (descriptor_ < 0) return Failure{StartError{"cannot open '{}': {}", path, std::strerror(errno)}};
  if (::flock(descriptor_, (geometry_.read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return Failure{StartError{"'{}' is in use by another process", path}};
  }
  return {};
}

Result<void, StartError> Block::open() noexcept {
  const char* path = find_attachment(Attachment::block, name_);
  if (path == nullptr) {
    return Failure{StartError{"block device '{}' is not attached: add --block:{}=FILE", name_, name_}};
  }
  MIRAGE_TRY(geometry_.sector_size, choose_sector_size(name_));
  if (auto opened = open_file(path); !opened) {
    return Failure{StartError{"block device '{}': {}", name_, opened.error().text()}};
  }
  const off_t end = ::lseek(descriptor_, 0, SEEK_END);
  if (end <= 0 || end % geometry_.sector_size != 0) {
    return Failure{StartError{"block device '{}': the size of '{}' must be a multiple of {} bytes, and not 0", name_,
                              path, geometry_.sector_size}};
  }
  geometry_.sectors = static_cast<std::uint64_t>(end) / geometry_.sector_size;
  shard_.logger("unix").info("block device '{}': {} sectors of {} bytes{}", name_, geometry_.sectors,
                             geometry_.sector_size, geometry_.read_only ? ", read-only" : "");
  return {};
}

Task<Result<void, StartError>> Block::start() { co_return open(); }

Block::Done Block::read(std::uint64_t sector, MutableBytes bytes) noexcept {
  if (const auto checked = check_range(geometry_, sector, bytes.size()); !checked) return Done{checked};
  return Done{move_all(sector * geometry_.sector_size, bytes.size(), [&](off_t offset, std::size_t done) noexcept {
    return ::pread(descriptor_, bytes.data() + done, bytes.size() - done, offset);
  })};
}

Block::Done Block::write(std::uint64_t sector, Bytes bytes) noexcept {
  if (const auto checked = check_range(geometry_, sector, bytes.size()); !checked) return Done{checked};
  if (geometry_.read_only) return Done{Failure{BlockError::read_only}};
  return Done{move_all(sector * geometry_.sector_size, bytes.size(), [&](off_t offset, std::size_t done) noexcept {
    return ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done, offset);
  })};
}

Block::Done Block::flush() noexcept {
  return Done{::fdatasync(descriptor_) == 0 ? Result<void, BlockError>{} : Failure{BlockError::io}};
}

static_assert(mirage::Block<Block>);

}  // namespace mirage::target::posix
