// SPDX-License-Identifier: ISC
// Whether whoever has just opened a tap gets the answer to the first question that it asks the host.
#pragma once

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mirage::test {

inline constexpr int cannot_run = 77;   ///< no tap can be made in a network namespace, or Linux is older than 6.8
inline constexpr int open_failed = 78;  ///< what is to be tested has not opened a tap

/// A tap "mirage0", up, 10.0.0.1/24; false when that cannot be made.
inline bool make_tap() {
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "mirage0");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  const int tap = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  const bool made = tap >= 0 && ::ioctl(tap, TUNSETIFF, &request) == 0 && ::ioctl(tap, TUNSETPERSIST, 1) == 0;
  ::close(tap);
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, "10.0.0.1", &address.sin_addr);
  std::memcpy(&request.ifr_addr, &address, sizeof address);
  bool done = made && ::ioctl(control, SIOCSIFADDR, &request) == 0;
  ::inet_pton(AF_INET, "255.255.255.0", &address.sin_addr);
  std::memcpy(&request.ifr_netmask, &address, sizeof address);
  done = done && ::ioctl(control, SIOCSIFNETMASK, &request) == 0;
  request.ifr_flags = IFF_UP;
  done = done && ::ioctl(control, SIOCSIFFLAGS, &request) == 0;
  ::close(control);
  return done;
}

/// Asks the host behind `tap`, whose frames have vnet headers, by ARP for 10.0.0.1: whether it answers within 200 ms.
inline bool ask(int tap) {
  constexpr std::size_t header = 10;
  std::array<unsigned char, header + 42> question{};
  constexpr std::array<unsigned char, 42> frame{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  2, 8, 6,
                                                0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 2,
                                                10,   0,    0,    2,    0,    0,    0, 0, 0, 0, 10, 0, 0, 1};
  std::ranges::copy(frame, question.begin() + static_cast<std::ptrdiff_t>(header));
  if (::write(tap, question.data(), header + frame.size()) < 0) return false;
  std::array<unsigned char, 2048> answer{};
  pollfd ready{tap, POLLIN, 0};
  while (::poll(&ready, 1, 200) == 1) {
    if (::read(tap, answer.data(), answer.size()) < 42) continue;
    const unsigned char* got = answer.data() + header;
    if (got[12] == 8 && got[13] == 6 && got[21] == 2) return true;
  }
  return false;
}

template <class Open>
int ask_first_questions(Open open) {
  utsname system{};
  int major = 0;
  int minor = 0;
  ::uname(&system);
  if (std::sscanf(system.release, "%d.%d", &major, &minor) != 2 || major * 100 + minor < 608) return cannot_run;
  int unanswered = 0;
  for (int i = 0; i < 20; ++i) {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return cannot_run;
    if (!make_tap()) return cannot_run;
    const int tap = open("mirage0");
    if (tap < 0) return open_failed;
    unanswered += ask(tap) ? 0 : 1;
    ::close(tap);
  }
  return unanswered;
}

/// `open(name)` opens a tap and returns its descriptor, on which frames have vnet headers. How many of 20 first
/// questions had no answer, each in a network namespace of a process of its own; open_failed; cannot_run.
template <class Open>
int unanswered_first_questions(Open open) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(ask_first_questions(open));
  int status = 0;
  const bool ended = ::waitpid(child, &status, 0) == child && WIFEXITED(status);
  return ended ? WEXITSTATUS(status) : open_failed;
}

}  // namespace mirage::test
