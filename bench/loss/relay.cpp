// SPDX-License-Identifier: ISC
// A wire with loss, delay, limited rate and a queue between two descriptors that carry plain Ethernet frames (taps or
// packet sockets). Which frames are lost follows from the seed and their number, so two stacks meet the same losses.
//   bench_relay FD FD SEED LOSS DELAY_US BYTES_PER_SECOND QUEUE_BYTES      LOSS in parts of a million, both ways
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace {

constexpr std::int64_t nanoseconds = 1'000'000'000;

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * nanoseconds + time.tv_nsec;
}

/// SplitMix64.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

struct Wire {
  std::uint64_t seed = 0;
  std::uint64_t loss = 0;
  std::int64_t delay = 0;
  std::int64_t rate = 0;
  std::int64_t queue = 0;
};

struct Frame {
  std::int64_t due;
  std::vector<std::uint8_t> bytes;
};

/// One direction.
class Way {
 public:
  Way(const Wire& wire, int from, int to, std::uint64_t number) : wire_(wire), from_(from), to_(to), number_(number) {}

  /// Takes what has come; false when the other side is gone.
  bool take() {
    std::uint8_t buffer[65536];
    for (int i = 0; i < 64; ++i) {
      const ssize_t size = ::read(from_, buffer, sizeof buffer);
      if (size == 0) return false;
      if (size < 0) return errno == EAGAIN || errno == EINTR || errno == EIO;
      admit({buffer, buffer + size});
    }
    return true;
  }
  /// Delivers what is due; what the receiver does not take is lost.
  void deliver(std::int64_t time) {
    while (!flying_.empty() && flying_.front().due <= time) {
      const auto& bytes = flying_.front().bytes;
      if (::write(to_, bytes.data(), bytes.size()) < 0) ++refused;
      flying_.pop_front();
    }
  }
  [[nodiscard]] std::int64_t next() const { return flying_.empty() ? INT64_MAX : flying_.front().due; }

  std::uint64_t carried = 0, lost = 0, overflowed = 0, refused = 0;

 private:
  void admit(std::vector<std::uint8_t> bytes) {
    const std::int64_t time = now();
    const bool ip = bytes.size() > 34 && bytes[12] == 0x08 && bytes[13] == 0x00;
    const auto size = static_cast<std::int64_t>(bytes.size());
    const std::int64_t begin = std::max(free_, time);
    if ((begin - time) * wire_.rate / nanoseconds > wire_.queue) {
      ++overflowed;
      return;
    }
    free_ = begin + size * nanoseconds / wire_.rate;
    // ARP passes: only what TCP sends is counted and lost.
    if (ip && mix(wire_.seed * 2 + number_ + (count_++ << 20)) % 1'000'000 < wire_.loss) {
      ++lost;
      return;
    }
    ++carried;
    flying_.push_back({free_ + wire_.delay, std::move(bytes)});
  }

  const Wire& wire_;
  int from_, to_;
  std::uint64_t number_;
  std::uint64_t count_ = 0;
  std::int64_t free_ = 0;
  std::deque<Frame> flying_;
};

int relay(const Wire& wire, int a, int b) {
  Way there{wire, a, b, 0};
  Way back{wire, b, a, 1};
  for (const int descriptor : {a, b}) ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  pollfd polls[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
  while (true) {
    const std::int64_t wait = std::min(there.next(), back.next());
    const std::int64_t left = std::clamp<std::int64_t>(wait - now(), 0, nanoseconds);
    const timespec patience{left / nanoseconds, left % nanoseconds};
    if (::ppoll(polls, 2, &patience, nullptr) < 0 && errno != EINTR) break;
    if ((polls[0].revents & POLLHUP) != 0 || !there.take() || !back.take()) break;
    there.deliver(now());
    back.deliver(now());
  }
  std::fprintf(stderr, "relay: carried %lu %lu lost %lu %lu overflowed %lu %lu refused %lu %lu\n", there.carried,
               back.carried, there.lost, back.lost, there.overflowed, back.overflowed, there.refused, back.refused);
  return 0;
}

}  // namespace

int main(int count, char** values) {
  if (count != 8) {
    std::fprintf(stderr, "usage: bench_relay FD FD SEED LOSS_PPM DELAY_US BYTES_PER_SECOND QUEUE_BYTES\n");
    return 2;
  }
  const auto number = [&](int i) { return std::strtoll(values[i], nullptr, 10); };
  const Wire wire{.seed = static_cast<std::uint64_t>(number(3)),
                  .loss = static_cast<std::uint64_t>(number(4)),
                  .delay = number(5) * 1000,
                  .rate = std::max(number(6), 1LL),
                  .queue = number(7)};
  return relay(wire, static_cast<int>(number(1)), static_cast<int>(number(2)));
}
