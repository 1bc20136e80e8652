// SPDX-License-Identifier: ISC
#include <array>
#include <cstring>
#include <string_view>

#include <bench/net/frame.hpp>
#include <bench/net/tap.hpp>
#include <bench/net/tool.hpp>
#include <unistd.h>

namespace bench {

namespace {

using Flags = mirage::wire::TcpFlags;

constexpr std::string_view answer =
    "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: canned\r\nContent-Type: text/plain\r\n"
    "Content-Length: 13\r\n\r\nHello, world!";
constexpr std::string_view last_answer =
    "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: canned\r\nContent-Type: text/plain\r\n"
    "Connection: close\r\nContent-Length: 13\r\n\r\nHello, world!";
constexpr std::uint16_t window = 0xffff;

/// The answer's size, 0 for none. Any text is one request.
std::size_t answer_tcp(Frame frame, mirage::MutableBytes bytes) {
  const Segment in = frame.segment();
  frame.turn_round();
  if ((in.flags & Flags::syn) != 0) {
    constexpr std::array<std::uint8_t, 4> segment_size{2, 4, 0x05, 0xb4};  // 1460
    return frame.write_tcp(1, in.sequence + 1, Flags::syn | Flags::ack, window, 0, segment_size);
  }
  if (in.length > 0) {
    const std::string_view request = mirage::as_text(bytes.subspan(tcp_payload_at, in.length));
    const bool last = request.contains("Connection: close");
    const std::string_view text = last ? last_answer : answer;
    const int flags = Flags::ack | Flags::psh | (last ? Flags::fin : 0);
    std::memcpy(bytes.data() + tcp_payload_at, text.data(), text.size());
    return frame.write_tcp(in.acknowledgement, in.sequence + in.length, static_cast<std::uint8_t>(flags), window,
                           text.size());
  }
  if ((in.flags & Flags::fin) == 0) return 0;
  return frame.write_tcp(in.acknowledgement, in.sequence + 1, Flags::fin | Flags::ack, window, 0);
}

std::size_t answer_frame(mirage::MutableBytes buffer, std::size_t size) {
  const mirage::MutableBytes bytes = buffer.subspan(vnet_size);
  Frame frame{bytes};
  const std::uint8_t protocol = frame.protocol(size);
  if (protocol == 17) {  // the checksum does not depend on the direction: the vnet header stays as it is
    frame.turn_round();
    return size;
  }
  if (protocol == 6) {
    Frame::write_vnet(buffer);
    return answer_tcp(frame, bytes);
  }
  std::memset(buffer.data(), 0, vnet_size);
  return frame.answer_control(size);
}

}  // namespace

int canned(int, char** arguments) {
  const int tap = open_tap(arguments[0], true);
  if (tap < 0) return 1;
  alignas(64) static std::array<std::byte, 65536 + 256> buffer;
  while (true) {
    const ssize_t size = ::read(tap, buffer.data(), buffer.size());
    if (size < 0) return 1;
    if (size < static_cast<ssize_t>(vnet_size)) continue;
    const std::size_t reply = answer_frame(buffer, static_cast<std::size_t>(size) - vnet_size);
    if (reply > 0 && ::write(tap, buffer.data(), vnet_size + reply) < 0) return 1;
  }
}

}  // namespace bench
