// SPDX-License-Identifier: ISC
// Shards as threads of one process, for ThreadSanitizer: each sends numbered messages of changing sizes to each other
// one, sleeps whenever its rings are empty, and wakes by its bell only. A race is the sanitizer's to report; a message
// that is lost, torn or out of order ends the test, and a wake-up that is lost makes it hang.
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <mirage/async/mailbox.hpp>

using namespace mirage;

namespace {

constexpr std::uint16_t shards = 3;
constexpr std::uint32_t messages = 20'000;  // from each to each other
constexpr std::uint32_t longest = 3000;

struct Program {
  std::vector<std::byte> bytes = std::vector<std::byte>(mailbox_size(shards) + alignof(MailboxRing));
  MutableBytes memory;
  std::array<std::atomic<std::uint32_t>, shards> bells{};
  std::atomic<std::uint64_t> woken{0};
};

[[noreturn]] void end(const char* what) {
  std::fprintf(stderr, "mailbox: %s\n", what);
  std::_Exit(1);
}

std::uint32_t size_of(std::uint32_t number) { return sizeof number + number * 37 % longest; }

class ShardThread {
 public:
  ShardThread(Program& program, std::uint16_t index) : program_(program), index_(index) {
    const ShardPlace place{index, shards, program.memory, &program, [](void* context, std::uint16_t shard) noexcept {
                             auto& of = *static_cast<Program*>(context);
                             of.woken.fetch_add(1, std::memory_order_relaxed);
                             of.bells[shard].fetch_add(1);
                             of.bells[shard].notify_one();
                           }};
    if (!box_.open(place)) end("does not open");
  }

  void run() {
    while (true) {
      const std::uint32_t bell = program_.bells[index_].load();
      const bool sent = send();
      const bool received = receive();
      if (done()) return;
      // What remains to be sent waits for room, which nobody rings for: then it does not sleep.
      if (!sent && !received && all_sent()) program_.bells[index_].wait(bell);
    }
  }

 private:
  bool send() {
    bool any = false;
    for (std::uint16_t other = 0; other < shards; ++other) {
      if (other == index_) continue;
      for (int burst = 0; burst < 8 && sent_[other] < messages; ++burst) {
        std::vector<std::byte> body(size_of(sent_[other]) - sizeof(std::uint32_t),
                                    static_cast<std::byte>(sent_[other]));
        const std::array<Bytes, 2> parts{std::as_bytes(std::span{&sent_[other], 1}), Bytes{body}};
        if (!box_.send(other, parts)) break;
        ++sent_[other];
        any = true;
      }
    }
    (void)box_.publish();
    return any;
  }

  bool receive() {
    bool any = false;
    for (std::uint16_t other = 0; other < shards; ++other) {
      if (other == index_) continue;
      MailboxReceiver& from = box_.from(other);
      while (const auto size = from.next()) {
        check(from, *size, received_[other]++);
        from.drop();
        any = true;
      }
      if (from.corrupted() != 0) end("a ring is corrupted");
    }
    return any;
  }

  static void check(const MailboxReceiver& from, std::uint32_t size, std::uint32_t expected) {
    std::uint32_t number = 0;
    if (size != size_of(expected)) end("a message has another size");
    from.copy(0, std::as_writable_bytes(std::span{&number, 1}));
    if (number != expected) end("a message is out of order");
    std::vector<std::byte> body(size - sizeof number);
    from.copy(sizeof number, body);
    for (const std::byte byte : body) {
      if (byte != static_cast<std::byte>(expected)) end("a message is torn");
    }
  }

  [[nodiscard]] bool all_sent() const {
    for (std::uint16_t other = 0; other < shards; ++other) {
      if (other != index_ && sent_[other] < messages) return false;
    }
    return true;
  }
  [[nodiscard]] bool done() const {
    for (std::uint16_t other = 0; other < shards; ++other) {
      if (other != index_ && received_[other] < messages) return false;
    }
    return all_sent();
  }

  Program& program_;
  std::uint16_t index_;
  Mailbox box_;
  std::array<std::uint32_t, shards> sent_{};
  std::array<std::uint32_t, shards> received_{};
};

}  // namespace

int main() {
  Program program;
  void* start = program.bytes.data();
  std::size_t room = program.bytes.size();
  program.memory = {static_cast<std::byte*>(std::align(alignof(MailboxRing), mailbox_size(shards), start, room)),
                    mailbox_size(shards)};
  const MailboxHeader header{MailboxHeader::expected_magic, shards, {1, 2}};
  std::memcpy(program.memory.data(), &header, sizeof header);
  std::vector<std::thread> threads;
  for (std::uint16_t i = 0; i < shards; ++i) {
    threads.emplace_back([&program, i] { ShardThread{program, i}.run(); });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("mailbox: %u messages between %u threads, %llu wake-ups\n", messages * shards * (shards - 1),
              unsigned{shards}, static_cast<unsigned long long>(program.woken.load()));
  return 0;
}
