// SPDX-License-Identifier: ISC
// Disks of the host that somebody has for himself, by a loop device; where there is none, nothing is tested.
#include <cstdio>
#include <memory>
#include <string>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cli/store_disk.hpp>
#include <config/error.hpp>

using namespace mirage::cli;

namespace {

struct Descriptor {
  explicit Descriptor(int from) noexcept : number(from) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  int number;
};

/// A loop device on a file without a name.
class LoopDisk {
 public:
  LoopDisk() {
    const Descriptor control{::open("/dev/loop-control", O_RDWR | O_CLOEXEC)};
    const int number = control.number < 0 ? -1 : ioctl(control.number, LOOP_CTL_GET_FREE);
    if (number < 0 || file_ == nullptr || ftruncate(fileno(file_.get()), 1 << 20) != 0) return;
    path_ = "/dev/loop" + std::to_string(number);
    disk_.number = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    there_ = disk_.number >= 0 && ioctl(disk_.number, LOOP_SET_FD, fileno(file_.get())) == 0;
  }
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;
  ~LoopDisk() {
    if (there_) (void)ioctl(disk_.number, LOOP_CLR_FD);
  }
  [[nodiscard]] explicit operator bool() const noexcept { return there_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{std::tmpfile(), std::fclose};
  std::string path_;
  Descriptor disk_{-1};
  bool there_ = false;
};

std::string opened(const std::string& path, DiskFile::Mode mode) {
  try {
    const DiskFile disk{path, mode};
    return std::to_string(disk.geometry().sectors);
  } catch (const mirage::plan::Error& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("store: a disk that is mounted or somebody's is not written") {
  const LoopDisk loop;
  if (!loop) {
    MESSAGE("no loop device: not tested");
    return;
  }
  CHECK(opened(loop.path(), DiskFile::Mode::write) == "2048");
  const Descriptor held{::open(loop.path().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC)};  // as mount(2) does
  REQUIRE(held.number >= 0);
  CHECK(opened(loop.path(), DiskFile::Mode::write).starts_with("is in use: it is mounted"));
  CHECK(opened(loop.path(), DiskFile::Mode::read) == "2048");
}
