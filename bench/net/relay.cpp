// SPDX-License-Identifier: ISC
#include <array>
#include <cstddef>

#include <bench/net/tap.hpp>
#include <bench/net/tool.hpp>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace bench {

namespace {

/// Moves what is there, up to a burst; false at an error.
bool move(int from, int to) {
  static std::array<std::byte, 65536 + 256> buffer;
  for (int i = 0; i < 64; ++i) {
    const ssize_t size = ::read(from, buffer.data(), buffer.size());
    if (size <= 0) return true;
    if (::write(to, buffer.data(), static_cast<std::size_t>(size)) < 0) return false;
  }
  return true;
}

}  // namespace

int relay(int, char** arguments) {
  const std::array<int, 2> taps{open_tap(arguments[0], true), open_tap(arguments[1], true)};
  if (taps[0] < 0 || taps[1] < 0) return 1;
  for (const int tap : taps) ::fcntl(tap, F_SETFL, O_NONBLOCK);
  std::array<pollfd, 2> waits{{{taps[0], POLLIN, 0}, {taps[1], POLLIN, 0}}};
  while (::poll(waits.data(), waits.size(), -1) > 0) {
    if (!move(taps[0], taps[1]) || !move(taps[1], taps[0])) return 1;
  }
  return 1;
}

}  // namespace bench
