// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/wait.hpp>
#include <mirage/target/solo5/manifest.hpp>

namespace mirage::target::hvt {

namespace {

constexpr std::uint64_t second = 1'000'000'000;

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

WaitSet::Ready WaitSet::wait(std::uint64_t timeout) const {
  std::array<epoll_event, mirage::target::solo5::manifest_limit> events;
  const std::uint64_t bounded = std::min(timeout, std::uint64_t{1} << 62);  // 146 years
  // epoll_pwait2(2), which musl 1.2.3 does not wrap: nanoseconds, without a timer descriptor.
  struct {
    std::int64_t seconds;
    std::int64_t nanoseconds;
  } const time{static_cast<std::int64_t>(bounded / second), static_cast<std::int64_t>(bounded % second)};
  const auto count =
      ::syscall(SYS_epoll_pwait2, epoll_.get(), events.data(), static_cast<int>(events.size()), &time, nullptr, 0);
  Ready ready;
  ready.count = count < 0 ? 0 : static_cast<int>(count);
  for (int i = 0; i < ready.count; ++i) {
    ready.set |= std::uint64_t{1} << events[static_cast<std::size_t>(i)].data.u64;
  }
  return ready;
}

}  // namespace mirage::target::hvt
