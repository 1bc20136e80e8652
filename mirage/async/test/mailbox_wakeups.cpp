// SPDX-License-Identifier: ISC
// Wake-ups on the hardware's own memory order, which ThreadSanitizer's build hardly ever shows: a receiver takes a
// message that fills a quarter of its ring, so that drop() gives the room back, and looks once more before it would
// sleep, while the sender publishes the next one. Either the receiver finds that, or the sender is told to wake it.
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <mirage/async/mailbox.hpp>

using namespace mirage;

namespace {

constexpr unsigned rounds = 1'000'000;

struct Race {
  std::unique_ptr<MailboxRing> ring = std::make_unique<MailboxRing>();
  MailboxSender sender{*ring};
  MailboxReceiver receiver{*ring};
  std::vector<std::byte> body = std::vector<std::byte>(MailboxRing::capacity / 4 - 8);
  std::atomic<unsigned> sent{0};  // steps of either side, two in each round
  std::atomic<unsigned> received{0};
  bool found = false;
};

void reach(std::atomic<unsigned>& step, unsigned number) {
  while (step.load(std::memory_order_acquire) != number) {
  }
}

void pause(unsigned count) {
  for (volatile unsigned i = 0; i < count; i = i + 1) {
  }
}

void receive(Race& race) {
  for (unsigned i = 0; i < rounds; ++i) {
    reach(race.sent, 2 * i + 1);
    if (!race.receiver.next()) std::abort();
    pause(i % 64);
    race.receiver.drop();
    race.found = race.receiver.next().has_value();
    race.received.store(2 * i + 1, std::memory_order_release);
    reach(race.sent, 2 * i + 2);
    while (race.receiver.next()) race.receiver.drop();
    race.received.store(2 * i + 2, std::memory_order_release);
  }
}

}  // namespace

int main() {
  if (std::thread::hardware_concurrency() < 2) {
    std::puts("mailbox: skipped, needs two processors");
    return 77;
  }
  Race race;
  const std::array<Bytes, 1> large{Bytes{race.body}};
  const std::array<Bytes, 1> small{Bytes{race.body}.first(8)};
  std::thread other{[&race] { receive(race); }};
  unsigned lost = 0;
  for (unsigned i = 0; i < rounds; ++i) {
    if (!race.sender.send(large)) std::abort();
    (void)race.sender.publish();
    if (!race.sender.send(small)) std::abort();
    race.sent.store(2 * i + 1, std::memory_order_release);
    pause(i / 64 % 128);
    const bool wakes = race.sender.publish();
    reach(race.received, 2 * i + 1);
    if (!wakes && !race.found) ++lost;
    race.sent.store(2 * i + 2, std::memory_order_release);
    reach(race.received, 2 * i + 2);
  }
  other.join();
  std::printf("mailbox: %u of %u messages neither seen nor rung for\n", lost, rounds);
  return lost == 0 ? 0 : 1;
}
