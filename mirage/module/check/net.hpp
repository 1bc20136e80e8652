// SPDX-License-Identifier: ISC
// Conformance check of the module type Net, for the tests of every implementation: two devices that are the ends of one
// quiet, lossless wire.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include <mirage/async/sleep.hpp>
#include <mirage/module/net.hpp>

namespace mirage::check {

namespace detail {

/// A frame of `size` bytes that says which one it is: header slice of `front` bytes, the rest in two payload slices.
inline TransmitFrame make_frame(Shard& shard, std::uint8_t number, std::size_t size, std::size_t front) {
  const auto byte_at = [number](std::size_t i) { return static_cast<std::byte>(i < 12 ? 0x02 : number + i); };
  TransmitFrame frame;
  frame.header = shard.buffers().allocate(front);
  const MutableBytes header = frame.header.grow_back(static_cast<std::uint32_t>(front));
  for (std::size_t i = 0; i < front; ++i) header[i] = byte_at(i);
  for (std::size_t at = front; at < size;) {
    const std::size_t part = at == front ? (size - front + 1) / 2 : size - at;
    MutableSlice slice = shard.buffers().allocate(part, 0);
    const MutableBytes bytes = slice.grow_back(static_cast<std::uint32_t>(part));
    for (std::size_t i = 0; i < part; ++i) bytes[i] = byte_at(at + i);
    (void)frame.payload.push_back(std::move(slice).freeze());
    at += part;
  }
  return frame;
}

inline bool is_frame(const ReceivedFrame& frame, std::uint8_t number, std::size_t size) {
  if (frame.data.byte_count() < size || frame.data.empty() || frame.data[0].size() < std::min<std::size_t>(size, 14)) {
    return false;
  }
  std::size_t at = 0;
  for (const Slice& slice : frame.data) {
    for (const std::byte byte : slice.bytes()) {
      // Short frames may arrive padded (IEEE 802.3, 60 bytes).
      if (at < size && byte != static_cast<std::byte>(at < 12 ? 0x02 : number + at)) return false;
      ++at;
    }
  }
  return true;
}

/// Receives until `frames` is full or half a second has passed without any.
template <class Queue>
Task<std::size_t> receive(Shard& shard, Queue& queue, std::span<ReceivedFrame> frames) {
  std::size_t count = 0;
  for (int patience = 0; patience < 500 && count < frames.size(); ++patience) {
    const std::size_t more = queue.poll(frames.subspan(count));
    if (more != 0) patience = 0;
    count += more;
    if (count < frames.size()) co_await sleep(1ms);
  }
  (void)shard;
  co_return count;
}

template <class Queue>
Task<bool> send(Shard& shard, Queue& queue, std::span<TransmitFrame> frames) {
  for (int patience = 0; patience < 500 && !frames.empty(); ++patience) {
    frames = frames.subspan(queue.send(frames));
    if (!frames.empty()) co_await sleep(1ms);
  }
  (void)shard;
  co_return frames.empty();
}

}  // namespace detail

/// Frames of several sizes from `from` to `to`, in order and whole; buffers come back. Empty when the devices conform.
template <Net From, Net To>
Task<std::string_view> check_one_way(Shard& shard, From& from, To& to) {
  const std::size_t largest = std::min<std::size_t>(from.capabilities().mtu, to.capabilities().mtu) + 14;
  if (from.capabilities().mac.is_multicast()) co_return "the MAC address is a group's";
  if (from.capabilities().maximum_frame < largest) co_return "maximum_frame is below the MTU";
  auto&& out = from.queue(0);
  auto&& in = to.queue(0);
  const std::array<std::size_t, 6> sizes{60, 61, 128, std::min<std::size_t>(777, largest), largest - 1, largest};
  std::array<TransmitFrame, 6> frames;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    frames[i] = detail::make_frame(shard, static_cast<std::uint8_t>(i), sizes[i], i % 2 == 0 ? 14 : 54);
  }
  if (!co_await detail::send(shard, out, std::span{frames})) co_return "frames were not accepted";
  for (const TransmitFrame& frame : frames) {
    if (frame.header || !frame.payload.empty()) co_return "an accepted frame was not moved from";
  }
  std::array<ReceivedFrame, 6> received;
  if (co_await detail::receive(shard, in, std::span{received}) != received.size()) co_return "frames were lost";
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (!detail::is_frame(received[i], static_cast<std::uint8_t>(i), sizes[i])) {
      co_return "a frame arrived changed, out of order, or with its header split";
    }
  }
  co_return "";
}

/// A frame that can never be sent is accepted and dropped, and what follows it arrives.
template <Net From, Net To>
Task<std::string_view> check_too_long(Shard& shard, From& from, To& to) {
  const std::size_t limit = from.capabilities().maximum_frame;
  if (limit > large_capacity - 1024) co_return "";  // no buffer is that large
  std::array<TransmitFrame, 2> frames{detail::make_frame(shard, 1, limit + 1, 14),
                                      detail::make_frame(shard, 2, 60, 14)};
  auto&& out = from.queue(0);
  auto&& in = to.queue(0);
  if (!co_await detail::send(shard, out, std::span{frames})) co_return "a frame too long blocks the queue";
  std::array<ReceivedFrame, 1> received;
  if (co_await detail::receive(shard, in, std::span{received}) != 1 || !detail::is_frame(received[0], 2, 60)) {
    co_return "a frame too long was not dropped alone";
  }
  co_return "";
}

/// Empty when both devices conform, else the first rule that is broken. Nobody else may poll them meanwhile.
template <Net Left, Net Right>
Task<std::string_view> check_net(Shard& shard, Left& left, Right& right) {
  std::array<ReceivedFrame, 1> none;
  if (left.queue(0).poll(none) != 0) co_return "there was a frame before one was sent";
  for (int round = 0; round < 3; ++round) {
    if (const std::string_view broken = co_await check_one_way(shard, left, right); !broken.empty()) co_return broken;
    if (const std::string_view broken = co_await check_one_way(shard, right, left); !broken.empty()) co_return broken;
  }
  co_return co_await check_too_long(shard, left, right);
}

}  // namespace mirage::check
