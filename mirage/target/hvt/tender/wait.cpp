// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/wait.hpp>
#include <mirage/target/solo5/manifest.hpp>

namespace mirage::target::hvt {

namespace {

constexpr std::uint64_t second = 1'000'000'000;

std::uint64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * second + static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

mirage::tender::Result<WaitSet> WaitSet::create() {
  WaitSet set;
  set.epoll_ = mirage::tender::File{::epoll_create1(EPOLL_CLOEXEC)};
  if (!set.epoll_) {
    return mirage::tender::fail("cannot create a wait set: ", mirage::tender::Errno{errno});
  }
  return set;
}

mirage::tender::Result<> WaitSet::add(int descriptor, unsigned index) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = index;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
    return mirage::tender::fail("cannot wait for a device: ", mirage::tender::Errno{errno});
  }
  return {};
}

void WaitSet::remove(int descriptor) const { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr); }

WaitSet::Ready WaitSet::wait(std::uint64_t timeout) const {
  std::array<epoll_event, mirage::target::solo5::manifest_limit> events;
  // About 292 years is for ever; nothing below overflows.
  const std::uint64_t bounded = std::min(timeout, std::uint64_t{1} << 63);
  const std::uint64_t deadline = bounded == 0 ? 0 : now() + bounded;
  std::uint64_t left = bounded;
  for (;;) {
    // epoll_pwait2(2), which musl 1.2.3 does not wrap: nanoseconds, without a timer descriptor.
    struct {
      std::int64_t seconds;
      std::int64_t nanoseconds;
    } const time{static_cast<std::int64_t>(left / second), static_cast<std::int64_t>(left % second)};
    const auto count =
        ::syscall(SYS_epoll_pwait2, epoll_.get(), events.data(), static_cast<int>(events.size()), &time, nullptr, 0);
    if (count >= 0 || errno != EINTR) {
      Ready ready;
      ready.count = count < 0 ? 0 : static_cast<int>(count);
      for (int i = 0; i < ready.count; ++i) {
        ready.set |= std::uint64_t{1} << events[static_cast<std::size_t>(i)].data.u64;
      }
      return ready;
    }
    const std::uint64_t current = now();
    left = deadline > current ? deadline - current : 0;
  }
}

}  // namespace mirage::target::hvt
