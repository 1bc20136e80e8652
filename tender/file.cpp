// SPDX-License-Identifier: ISC
#include <cerrno>
#include <limits>

#include <fcntl.h>
#include <unistd.h>

#include <tender/file.hpp>
#include <tender/memory.hpp>

namespace mirage::tender {

File::~File() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

Result<File> File::open(const char* path, int flags) {
  const int descriptor = ::open(path, flags | O_CLOEXEC);
  if (descriptor < 0) {
    return fail("cannot open ", Quoted{path}, ": ", Errno{errno});
  }
  return File{descriptor};
}

Result<> read_exactly(int descriptor, std::span<std::byte> out, std::uint64_t offset) {
  const auto end = checked_add(offset, out.size());
  if (!end || *end > std::numeric_limits<off_t>::max()) {
    return fail("offset ", offset, " is beyond any file");
  }
  while (!out.empty()) {
    const auto count = ::pread(descriptor, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return fail("cannot read: ", Errno{errno});
    }
    if (count == 0) {
      return fail("truncated: nothing at offset ", offset);
    }
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

}  // namespace mirage::tender
