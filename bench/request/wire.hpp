// SPDX-License-Identifier: ISC
// The server's network device: spt's, with two queues of frames in memory where that makes system calls. What it does
// is counted for the server, so it does little.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include <bench/net/frame.hpp>

#include <mirage/target/solo5/frame_device.hpp>

namespace bench {

/// A frame, or what a client looks at of it.
struct Packet {
  std::array<std::byte, 2048> bytes;  ///< vnet header, and the frame's front
  std::size_t size = 0;               ///< of the whole
};

class PacketQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == last_; }
  /// To be filled; ends the program when the queue is full.
  Packet& push() noexcept {
    if (last_ - first_ == packets_.size()) __builtin_trap();
    return packets_[last_++ % packets_.size()];
  }
  Packet& pop() noexcept { return packets_[first_++ % packets_.size()]; }

 private:
  std::array<Packet, 2048> packets_;
  std::size_t first_ = 0;
  std::size_t last_ = 0;
};

class Wire final : public mirage::target::solo5::FrameDevice {
 public:
  struct Calls {
    std::uint64_t empty = 0;  ///< reads that found nothing
    std::uint64_t in = 0;
    std::uint64_t out = 0;
  };

  explicit Wire(mirage::Shard& shard) noexcept : FrameDevice(shard) {
    attached = attach({.mac = {2, 0, 0, 0, 0, 2}, .mtu = 1500}, true, true, true);
  }

  PacketQueue to_server;
  PacketQueue to_client;
  Calls calls;
  bool attached = false;

 private:
  using Piece = mirage::target::solo5::Piece;
  long read(std::span<const Piece> pieces) noexcept override {
    if (to_server.empty()) {
      ++calls.empty;
      return would_block;
    }
    ++calls.in;
    const Packet& packet = to_server.pop();
    std::memcpy(const_cast<void*>(pieces[0].base), packet.bytes.data(), packet.size);
    return static_cast<long>(packet.size);
  }
  /// The client looks at headers, and at the head of an answer.
  long write(std::span<const Piece> pieces) noexcept override {
    ++calls.out;
    Packet& packet = to_client.push();
    packet.size = 0;
    for (const Piece& piece : pieces) {
      if (packet.size < seen) {
        std::memcpy(packet.bytes.data() + packet.size, piece.base, std::min(piece.size, seen - packet.size));
      }
      packet.size += piece.size;
    }
    return static_cast<long>(packet.size);
  }
  static constexpr std::size_t seen = 512;
};

}  // namespace bench
