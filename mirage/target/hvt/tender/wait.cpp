// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/wait.hpp>
#include <mirage/target/solo5/manifest.hpp>

namespace mirage::target::hvt {

namespace {

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t own = mirage::target::solo5::manifest_limit;  // no index of a device
using Events = std::array<epoll_event, mirage::target::solo5::manifest_limit>;

/// epoll_pwait2(2), which musl 1.2.3 does not wrap: nanoseconds, without a timer descriptor.
long wait_precisely(int epoll, Events& events, std::uint64_t timeout) {
  const std::uint64_t bounded = std::min(timeout, std::uint64_t{1} << 62);  // 146 years
  struct {
    std::int64_t seconds;
    std::int64_t nanoseconds;
  } const time{static_cast<std::int64_t>(bounded / second), static_cast<std::int64_t>(bounded % second)};
  return ::syscall(SYS_epoll_pwait2, epoll, events.data(), static_cast<int>(events.size()), &time, nullptr, 0);
}

/// In milliseconds, rounded up; an hour at most, after which the guest asks again.
long wait_roughly(int epoll, Events& events, std::uint64_t timeout) {
  constexpr std::uint64_t millisecond = 1'000'000;
  const std::uint64_t bounded = std::min(timeout, 3600 * second) + millisecond - 1;
  return ::syscall(SYS_epoll_pwait, epoll, events.data(), static_cast<int>(events.size()),
                   static_cast<int>(bounded / millisecond), nullptr, 0);
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

mirage::tender::Result<> WaitSet::add(int descriptor, std::uint32_t events, std::uint64_t index) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = index;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
    return mirage::tender::fail("cannot wait for a device: ", mirage::tender::Errno{errno});
  }
  return {};
}

mirage::tender::Result<> WaitSet::add(int descriptor, unsigned index) { return add(descriptor, EPOLLIN, index); }

// An edge: it is read when the guest has left the processor, and not by the wait.
mirage::tender::Result<> WaitSet::add_own(int descriptor) { return add(descriptor, EPOLLIN | EPOLLET, own); }

WaitSet::Ready WaitSet::wait(std::uint64_t timeout) const {
  Events events;
  long count = wait_precisely(epoll_.get(), events, timeout);
  if (count < 0 && errno != EINTR) {  // Linux before 5.11, or a sandbox around this process
    count = wait_roughly(epoll_.get(), events, timeout);
  }
  Ready ready;
  for (const epoll_event& event : std::span{events}.first(count < 0 ? 0 : static_cast<std::size_t>(count))) {
    if (event.data.u64 != own) {
      ready.set |= std::uint64_t{1} << event.data.u64;
      ++ready.count;
    }
  }
  return ready;
}

}  // namespace mirage::target::hvt
