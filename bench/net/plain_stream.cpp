// SPDX-License-Identifier: ISC
#include <array>
#include <cstdio>
#include <cstring>

#include <bench/net/frame.hpp>
#include <bench/net/tap.hpp>
#include <bench/net/tool.hpp>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <mirage/wire/checksum.hpp>

namespace bench {

namespace {

using Flags = mirage::wire::TcpFlags;

constexpr std::size_t segment_size = 1460;
constexpr std::uint8_t scale = 3;
constexpr std::uint16_t window = 0x8000;  // 256 KiB, as our stack's
constexpr std::array<std::uint8_t, 8> syn_options{2, 4, 0x05, 0xb4, 1, 3, 3, scale};

/// One end of one connection: what both directions share.
class Peer {
 public:
  explicit Peer(int tap) : tap_(tap) { ::fcntl(tap, F_SETFL, O_NONBLOCK); }

  void wait() const {
    pollfd ready{tap_, POLLIN, 0};
    ::poll(&ready, 1, -1);
  }
  /// Takes what has arrived, up to a burst; calls `text(segment)` for segments of the connection.
  template <class Text>
  void receive(Text text) {
    for (int i = 0; i < 64; ++i) {
      const ssize_t size = ::read(tap_, in_.data(), in_.size());
      if (size <= 0) return;
      Frame frame{in_};
      if (frame.protocol(static_cast<std::size_t>(size)) != 6) {
        send(in_, frame.answer_control(static_cast<std::size_t>(size)));
        continue;
      }
      const Segment segment = frame.segment();
      if ((segment.flags & Flags::syn) != 0) {
        accept(segment);
      } else if ((segment.flags & Flags::rst) == 0) {
        text(segment);
      }
    }
  }
  void acknowledge() {
    const std::size_t size = head().write_tcp(next, expected, Flags::ack, window, 0);
    head().finish_checksum(0);
    send(out_, size);
  }
  /// Sends `segment_size` bytes of a constant payload.
  void send_text() {
    const std::size_t size = head().write_tcp(next, expected, Flags::ack | Flags::psh, window, segment_size);
    head().finish_checksum(payload_sum_);
    send(out_, size);
    next += segment_size;
  }

  std::uint32_t expected = 0;  ///< the peer's next sequence number
  std::uint32_t next = 1;      ///< ours
  std::uint32_t oldest = 1;    ///< ours, not acknowledged
  std::uint8_t peer_scale = 0;

 private:
  [[nodiscard]] Frame head() { return Frame{out_}; }
  void send(std::span<const std::byte> bytes, std::size_t size) const {
    if (size > 0) [[maybe_unused]]
      const auto written = ::write(tap_, bytes.data(), size);
  }
  void accept(const Segment& syn) {
    std::memcpy(out_.data(), in_.data(), tcp_payload_at);
    head().turn_round();
    expected = syn.sequence + 1;
    next = oldest = 2;
    peer_scale = syn.window_scale;
    const std::size_t size = head().write_tcp(1, expected, Flags::syn | Flags::ack, window, 0, syn_options);
    head().finish_checksum(0, mirage::wire::tcp_header_size + syn_options.size());
    send(out_, size);
    const mirage::Bytes payload{out_.data() + tcp_payload_at, segment_size};
    std::memset(out_.data() + tcp_payload_at, 'x', segment_size);
    payload_sum_ = static_cast<std::uint16_t>(mirage::wire::sum_of(payload));
  }

  int tap_;
  std::uint16_t payload_sum_ = 0;
  std::array<std::byte, 2048> in_{};
  std::array<std::byte, 2048> out_{};
};

}  // namespace

int plain_tap(int, char** arguments) {
  constexpr int place = 9;
  const int tap = open_tap(arguments[0], false);
  if (tap < 0 || ::dup2(tap, place) < 0) return 1;
  ::execv(arguments[1], arguments + 1);
  std::perror(arguments[1]);
  return 1;
}

int plain_sink(int, char** arguments) {
  const int tap = open_tap(arguments[0], false);
  if (tap < 0) return 1;
  static Peer peer{tap};
  while (true) {
    peer.wait();
    unsigned due = 0;
    peer.receive([&](const Segment& segment) {
      const bool in_order = segment.sequence == peer.expected;
      const bool fin = (segment.flags & Flags::fin) != 0;
      if (in_order) peer.expected += segment.length + (fin ? 1U : 0U);
      if (segment.length > 0 || fin) ++due;
      if (due >= 2 || (due > 0 && (!in_order || fin))) {
        peer.acknowledge();
        due = 0;
      }
    });
    if (due > 0) peer.acknowledge();
  }
}

int plain_source(int, char** arguments) {
  const int tap = open_tap(arguments[0], false);
  if (tap < 0) return 1;
  static Peer peer{tap};
  std::uint32_t room = 0;
  bool asked = false;
  unsigned duplicates = 0;
  while (true) {
    peer.wait();
    do {
      peer.receive([&](const Segment& segment) {
        if (segment.length > 0) {
          asked = true;
          peer.expected = segment.sequence + segment.length;
        }
        if ((segment.flags & Flags::fin) != 0) asked = false;
        duplicates = segment.acknowledgement == peer.oldest && segment.length == 0 ? duplicates + 1 : 0;
        peer.oldest = segment.acknowledgement;
        room = std::uint32_t{segment.window} << peer.peer_scale;
        if (duplicates == 3) peer.next = peer.oldest;  // go back: no frame should get lost here
      });
      for (int i = 0; i < 16 && asked && peer.next - peer.oldest + segment_size <= room; ++i) peer.send_text();
    } while (asked && peer.next - peer.oldest + segment_size <= room);
  }
}

}  // namespace bench
