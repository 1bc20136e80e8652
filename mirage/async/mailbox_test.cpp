// SPDX-License-Identifier: ISC
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/mailbox.hpp>

using namespace mirage;

namespace {

struct Ring {
  std::unique_ptr<MailboxRing> memory = std::make_unique<MailboxRing>();
  MailboxSender sender{*memory};
  MailboxReceiver receiver{*memory};

  bool send(std::string_view text) {
    const std::array<Bytes, 2> parts{as_bytes(text.substr(0, text.size() / 2)), as_bytes(text.substr(text.size() / 2))};
    return sender.send(parts);
  }
  std::string take() {
    const auto size = receiver.next();
    if (!size) return "(nothing)";
    std::string text(*size, ' ');
    receiver.copy(0, std::as_writable_bytes(std::span{text}));
    receiver.drop();
    return text;
  }
};

/// `count` shards' memory in one process.
struct Shared {
  explicit Shared(std::uint16_t count) : bytes(mailbox_size(count) + alignof(MailboxRing)) {
    void* start = bytes.data();
    std::size_t room = bytes.size();
    memory = {static_cast<std::byte*>(std::align(alignof(MailboxRing), mailbox_size(count), start, room)),
              mailbox_size(count)};
    const MailboxHeader header{MailboxHeader::expected_magic, count, {1, 2}};
    std::memcpy(memory.data(), &header, sizeof header);
  }
  ShardPlace place(std::uint16_t index, std::uint16_t count) {
    return {index, count, memory, this,
            [](void* self, std::uint16_t shard) noexcept { ++static_cast<Shared*>(self)->woken[shard]; }};
  }
  std::vector<std::byte> bytes;
  MutableBytes memory;
  std::array<int, shard_limit> woken{};
};

}  // namespace

TEST_CASE("mailbox: messages come out whole and in order, once they are published") {
  Ring ring;
  CHECK(ring.send("first"));
  CHECK(ring.send(""));
  CHECK(ring.send("the third one"));
  CHECK(ring.take() == "(nothing)");
  CHECK(ring.sender.publish());
  CHECK(ring.take() == "first");
  CHECK(ring.take().empty());
  CHECK(ring.take() == "the third one");
  CHECK(ring.take() == "(nothing)");
  CHECK_FALSE(ring.sender.publish());
}

TEST_CASE("mailbox: the receiver is woken when it may have looked into an empty ring, not while it has work") {
  Ring ring;
  CHECK(ring.send("a"));
  CHECK(ring.sender.publish());
  CHECK(ring.send("b"));
  CHECK_FALSE(ring.sender.publish());  // "a" is still there
  CHECK(ring.take() == "a");
  CHECK(ring.take() == "b");
  CHECK(ring.send("c"));
  CHECK_FALSE(ring.sender.publish());  // it has not looked behind "b" yet
  CHECK(ring.take() == "c");
  CHECK(ring.take() == "(nothing)");  // now it has, and may sleep
  CHECK(ring.send("d"));
  CHECK(ring.sender.publish());
}

TEST_CASE("mailbox: a full ring refuses and takes messages again later; positions and messages wrap round") {
  Ring ring;
  std::string text(10'001, 'x');
  unsigned sent = 0;
  for (unsigned round = 0; round < 3; ++round) {
    unsigned before = sent;
    for (text[0] = static_cast<char>('a' + sent % 26); ring.send(text); text[0] = static_cast<char>('a' + sent % 26)) {
      ++sent;
    }
    CHECK(sent - before == MailboxRing::capacity / 10'016);
    (void)ring.sender.publish();
    for (; before < sent; ++before) {
      text[0] = static_cast<char>('a' + before % 26);
      REQUIRE(ring.take() == text);
    }
    CHECK(ring.take() == "(nothing)");
  }
  const std::string largest(MailboxRing::capacity - 8, 'y');
  CHECK(ring.send(largest));
  (void)ring.sender.publish();
  CHECK(ring.take() == largest);
  CHECK_FALSE(ring.send(largest + "y"));
}

TEST_CASE("mailbox: room is given back before a crowded ring is empty") {
  Ring ring;
  const std::string text(MailboxRing::capacity / 4 - 8, 'z');
  for (int i = 0; i < 4; ++i) REQUIRE(ring.send(text));
  (void)ring.sender.publish();
  CHECK_FALSE(ring.send(text));
  CHECK(ring.take() == text);
  CHECK(ring.send(text));
}

TEST_CASE("mailbox: what no sender writes empties the ring, is counted, and does not stop what follows") {
  Ring ring;
  SUBCASE("a tail beyond the ring") { ring.memory->tail.store(MailboxRing::capacity + 8); }
  SUBCASE("a tail behind the head") { ring.memory->tail.store(0U - 8); }
  SUBCASE("less than a message") { ring.memory->tail.store(4); }
  SUBCASE("a message longer than what is there") {
    const std::uint32_t size = 100;
    std::memcpy(ring.memory->data, &size, sizeof size);
    ring.memory->tail.store(16);
  }
  SUBCASE("a size whose sum would wrap") {
    const std::uint32_t size = 0xffff'fffc;
    std::memcpy(ring.memory->data, &size, sizeof size);
    ring.memory->tail.store(64);
  }
  CHECK(ring.take() == "(nothing)");
  CHECK(ring.receiver.corrupted() == 1);
  const std::uint32_t size = 3;
  const std::uint32_t at = ring.memory->head.load();
  CHECK(at % 8 == 0);
  std::memcpy(ring.memory->data + at % MailboxRing::capacity, &size, sizeof size);
  std::memcpy(ring.memory->data + (at + 8) % MailboxRing::capacity, "yes", 3);
  ring.memory->tail.store(at + 16);
  CHECK(ring.take() == "yes");
  CHECK(ring.receiver.corrupted() == 1);
}

TEST_CASE("mailbox: a head that no receiver writes makes the ring refuse") {
  Ring ring;
  ring.memory->head.store(8);
  CHECK_FALSE(ring.send("x"));
}

TEST_CASE("mailbox: each pair of shards has its rings; only those are woken that need it") {
  Shared shared(3);
  std::array<Mailbox, 3> box;
  for (std::uint16_t i = 0; i < 3; ++i) REQUIRE(box[i].open(shared.place(i, 3)));
  CHECK(box[2].secret() == std::array<std::uint64_t, 2>{1, 2});
  const std::array<Bytes, 1> text{as_bytes("from 0 to 2")};
  CHECK(box[0].send(2, text));
  CHECK(box[0].publish() == 1);
  CHECK(shared.woken == std::array<int, shard_limit>{0, 0, 1});
  CHECK(box[0].publish() == 0);
  CHECK_FALSE(box[1].from(0).next());
  CHECK_FALSE(box[2].from(1).next());
  CHECK(box[2].from(0).next() == 11U);
}

TEST_CASE("mailbox: memory of another size, count or origin is refused") {
  Shared shared(2);
  Mailbox box;
  CHECK(box.open(shared.place(1, 2)));
  CHECK_FALSE(box.open(shared.place(2, 2)));
  CHECK_FALSE(box.open(shared.place(0, 3)));
  CHECK_FALSE(box.open(shared.place(0, 17)));
  ShardPlace place = shared.place(0, 2);
  place.memory = place.memory.first(place.memory.size() - 1);
  CHECK_FALSE(box.open(place));
  place = shared.place(0, 2);
  place.wake = nullptr;
  CHECK_FALSE(box.open(place));
  shared.memory[0] = std::byte{0};
  CHECK_FALSE(box.open(shared.place(0, 2)));
}
