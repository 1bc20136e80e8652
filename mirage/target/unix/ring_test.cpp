// SPDX-License-Identifier: ISC
// The ring in each of its modes: how often it enters the kernel, and that its sleep misses nothing.
#include <bit>
#include <thread>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <mirage/target/unix/ring.hpp>

using namespace mirage::target::posix;

namespace {

using Mode = Ring::Mode;
constexpr unsigned entries = 64;

class Event {
 public:
  Event() { REQUIRE(descriptor_ >= 0); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { ::close(descriptor_); }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  void signal() const { REQUIRE(::eventfd_write(descriptor_, 1) == 0); }
  void clear() const {
    eventfd_t value = 0;
    REQUIRE(::eventfd_read(descriptor_, &value) == 0);
  }

 private:
  int descriptor_ = ::eventfd(0, EFD_CLOEXEC);
};

/// Calls `test` with a ring in each mode that this kernel has.
template <class Test>
void in_each_mode(Test test) {
  for (const Mode mode : {Mode::deferred, Mode::cooperative, Mode::plain}) {
    Ring ring;
    if (!ring.open(entries, mode)) {
      MESSAGE("not run: no io_uring here");
      return;
    }
    CHECK(ring.mode() >= mode);
    test(ring);
  }
}

void prepare(Ring& ring, std::uint8_t opcode, int descriptor, std::uint64_t token) {
  io_uring_sqe& request = ring.prepare();
  request.opcode = opcode;
  request.fd = descriptor;
  request.user_data = token;
  if (opcode == IORING_OP_POLL_ADD) request.poll32_events = POLLIN;
}

/// Takes what there is: each token of 0 to 63 once.
unsigned take_all(Ring& ring) {
  std::uint64_t seen = 0;
  unsigned count = 0;
  while (const auto completion = ring.take()) {
    REQUIRE(completion->token < entries);
    CHECK(completion->result >= 0);
    seen |= std::uint64_t{1} << completion->token;
    ++count;
  }
  CHECK(static_cast<unsigned>(std::popcount(seen)) == count);
  return count;
}

}  // namespace

TEST_CASE("unix ring: one call hands over all, another one or none brings all back") {
  in_each_mode([](Ring& ring) {
    for (int round = 0; round < 5; ++round) {
      const std::uint64_t before = ring.enters();
      for (unsigned i = 0; i < entries; ++i) prepare(ring, IORING_OP_NOP, -1, i);
      CHECK(ring.prepared() == entries);
      CHECK(ring.submit());
      CHECK(ring.prepared() == 0);
      CHECK(ring.enters() == before + 1);
      CHECK(take_all(ring) == entries);
      CHECK(ring.enters() <= before + 2);
      CHECK_FALSE(ring.take());
      CHECK(ring.enters() <= before + 2);  // nothing is due: no call to learn that
    }
  });
}

TEST_CASE("unix ring: what completes later comes back in a few calls") {
  in_each_mode([](Ring& ring) {
    const Event event;
    for (unsigned i = 0; i < entries; ++i) prepare(ring, IORING_OP_POLL_ADD, event.descriptor(), i);
    CHECK(ring.submit());
    CHECK_FALSE(ring.take());
    CHECK(ring.enters() == 1);
    event.signal();
    CHECK(take_all(ring) == entries);
    CHECK(ring.enters() <= 1 + entries / 16);  // Linux 6.14 makes 20 in a call
  });
}

TEST_CASE("unix ring: a sleep ends by a completion, a descriptor or in time") {
  in_each_mode([](Ring& ring) {
    if (!ring.can_sleep()) return;
    const Event request;
    const Event readable;
    const int set = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event interest{.events = EPOLLIN, .data = {}};
    REQUIRE(::epoll_ctl(set, EPOLL_CTL_ADD, readable.descriptor(), &interest) == 0);
    prepare(ring, IORING_OP_POLL_ADD, request.descriptor(), 7);

    const timespec moment{0, 1'000'000};
    ring.sleep(set, &moment);
    CHECK(take_all(ring) == 0);

    for (int round = 0; round < 3; ++round) {
      // Asleep before it is readable, most of the time; would be for ever if it missed that.
      std::thread waker{[&] { readable.signal(); }};
      ring.sleep(set, nullptr);
      waker.join();
      CHECK(take_all(ring) == 0);
      ring.sleep(set, nullptr);  // readable already
      CHECK(take_all(ring) == 0);
      readable.clear();
    }
    request.signal();
    ring.sleep(set, nullptr);
    const auto completion = ring.take();
    REQUIRE(completion);
    CHECK(completion->token == 7);
    ::close(set);
  });
}
