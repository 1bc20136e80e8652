// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <mirage/target/solo5/frame_device.hpp>

namespace mirage::target::solo5 {

namespace {

constexpr std::uint32_t largest_segment = 65535 + ethernet_header_size;
constexpr std::uint32_t vnet_size = VnetHeader::legacy_size;
/// Room for the vnet header in front of a received frame; two bytes more than a multiple of 16, which aligns the IP
/// header behind the 14 bytes of Ethernet's.
constexpr std::uint32_t receive_headroom = 34;
constexpr std::size_t small_frame = frame_capacity - receive_headroom;
/// A frame of this size, headers and a payload that may be copied (up to 256 bytes), is copied out of the large buffer
/// in less time than a call with two pieces takes more.
constexpr std::size_t small_copy = 320;
/// The host offers no event for room in its queue; frames that it refused are offered again this much later.
constexpr Duration retry_after = std::chrono::microseconds{100};
/// How sure a poll can be that there are more frames behind those that the last one found, and how often it looks when
/// it is not.
constexpr std::uint8_t most_expected = 3;
constexpr std::uint8_t tries_again = 16;

}  // namespace

bool FrameDevice::attach(const NetProperties& properties, bool scatter, bool vnet, bool segment_udp) noexcept {
  scatter_ = scatter;
  vnet_ = scatter && vnet;
  std::ranges::copy(properties.mac, capabilities_.mac.octets.begin());
  capabilities_.mtu = properties.mtu;
  capabilities_.maximum_frame = vnet_ ? largest_segment : properties.mtu + std::uint32_t{ethernet_header_size};
  capabilities_.gather = scatter_;
  capabilities_.transmit_checksum = vnet_;
  capabilities_.receive_checksum = vnet_;
  capabilities_.segment_tcp4 = vnet_;
  capabilities_.segment_tcp6 = vnet_;
  capabilities_.segment_udp = vnet_ && segment_udp;
  capabilities_.coalesce = vnet_;
  return refill();
}

/// Makes sure that a frame of any size that the device may deliver can be received.
bool FrameDevice::refill() noexcept {
  const std::size_t largest = capabilities_.maximum_frame;
  if (!first_) first_ = shard_.buffers().allocate(small_frame, receive_headroom);
  if (!rest_ && largest > small_frame) rest_ = shard_.buffers().allocate(largest, receive_headroom);
  return first_ && (rest_ || largest <= small_frame);
}

/// Receives one frame into first_ and rest_, or whole into rest_: its size, or would_block. The latter is all that a
/// stock tender can do; behind a small frame it is what the host does in less time (two pieces cost it as much as it
/// takes to copy 4 KiB), and what such a frame costs is a short copy.
long FrameDevice::receive_bytes() noexcept {
  [[clang::uninitialized]] std::array<Piece, 2> pieces;
  std::size_t count = 0;
  whole_ = rest_ && (!scatter_ || expects_small_);
  // The vnet header goes into the headroom: one piece less for the host to walk.
  const MutableBytes front = (whole_ ? rest_ : first_).tail();
  const std::size_t header = vnet_ ? vnet_size : 0;
  pieces[count++] = {front.data() - header, front.size() + header};
  if (rest_ && !whole_) pieces[count++] = {rest_.tail().data(), rest_.tail().size()};
  const long size = read(std::span{pieces}.first(count));
  if (header == 0 || size <= 0) return size;
  std::memcpy(received_header_.data(), front.data() - header, received_header_.size());
  return std::max(size - static_cast<long>(header), 0L);
}

FrameDevice::Outcome FrameDevice::receive(ReceivedFrame& frame) noexcept {
  if (!refill() && !first_) return Outcome::again;
  const long result = receive_bytes();
  if (result <= 0) return Outcome::again;
  const auto size = static_cast<std::size_t>(result);
  frame.data.clear();
  frame.offload = {};
  if (vnet_) {
    const auto offload = VnetHeader::read(received_header_, size);
    if (!offload) {
      ++statistics_.bad_offload;
      return Outcome::dropped;
    }
    frame.offload = *offload;
  }
  return deliver(frame, size);
}

/// Hands the first `size` bytes of what was received to `frame`.
FrameDevice::Outcome FrameDevice::deliver(ReceivedFrame& frame, std::size_t size) noexcept {
  expects_small_ = size <= small_copy;
  std::size_t front = std::min<std::size_t>(size, first_.tailroom());  // what of it goes out in first_
  if (whole_) {
    if (size > front) {
      front = 0;
    } else {  // a small frame must not pin the large buffer
      std::memcpy(first_.tail().data(), rest_.tail().data(), size);
    }
  }
  if (front != 0) {
    // The reserve first: when there is no buffer to take first_'s place, the frame is dropped and the device drained.
    MutableSlice next = shard_.buffers().allocate(small_frame, receive_headroom);
    if (!next) {
      ++statistics_.no_buffer;
      return Outcome::dropped;
    }
    first_.grow_back(static_cast<std::uint32_t>(front));
    (void)frame.data.push_back(std::move(first_).freeze());
    first_ = std::move(next);
  }
  if (size > front) {
    rest_.grow_back(static_cast<std::uint32_t>(size - front));
    (void)frame.data.push_back(std::move(rest_).freeze());
  }
  return Outcome::done;
}

/// A read that finds nothing costs nearly as much as one that finds a frame. So a poll looks no further than it must:
/// for as many frames as the last poll found, twice as many when that found all it looked for. And where looking again
/// behind a poll that found some has mostly been in vain, the next one says "nothing" without a look: the loop then
/// waits, which the host ends at once if there is anything. That is said once: a loop that does not wait misses
/// nothing.
std::size_t FrameDevice::poll(std::span<ReceivedFrame> frames) noexcept {
  const std::size_t before = std::exchange(found_, 0);
  if (before != 0 && expectation_ == 0 && ++passed_ % tries_again != 0) {
    budget_ = before;
    return 0;
  }
  const std::size_t limit = std::min(frames.size(), budget_);
  std::size_t count = 0;
  // Dropped frames count towards the burst too, or a flood with an empty pool would never let go.
  for (std::size_t tries = 0; tries < frames.size() && count < limit; ++tries) {
    const Outcome outcome = receive(frames[count]);
    if (outcome == Outcome::again) break;
    if (outcome == Outcome::done) ++count;
  }
  if (before != 0 && count != 0 && expectation_ < most_expected) ++expectation_;
  if (before != 0 && count == 0 && expectation_ > 0) --expectation_;
  budget_ = count == limit ? std::min(2 * budget_, maximum_burst) : std::max<std::size_t>(count, 1);
  found_ = count;
  statistics_.received += count;
  return count;
}

/// The vnet header goes in front of the frame, in the same piece, and is taken away again: the frame may be offered
/// once more. A frame without the headroom gets it as a piece of its own.
long FrameDevice::write_gathered(TransmitFrame& frame) noexcept {
  if (!vnet_) return write_pieces({}, frame);
  if (frame.header.headroom() < vnet_size) {
    std::array<std::byte, vnet_size> header;
    VnetHeader::write(header, frame.offload);
    return write_pieces(header, frame);
  }
  VnetHeader::write(frame.header.grow_front(vnet_size), frame.offload);
  const long result = write_pieces({}, frame);
  frame.header.remove_prefix(vnet_size);
  return result;
}

long FrameDevice::write_pieces(Bytes front, const TransmitFrame& frame) noexcept {
  const Piece header{frame.header.bytes().data(), frame.header.size()};
  if (front.empty() && frame.payload.empty()) return write(std::span{&header, 1});
  [[clang::uninitialized]] std::array<Piece, piece_limit> pieces;
  std::size_t count = 0;
  if (!front.empty()) pieces[count++] = {front.data(), front.size()};
  pieces[count++] = header;
  for (const Slice& slice : frame.payload) pieces[count++] = {slice.data(), slice.size()};
  return write(std::span{pieces}.first(count));
}

/// A stock tender: one piece of memory per frame.
long FrameDevice::write_copied(TransmitFrame& frame) noexcept {
  if (frame.payload.empty()) {
    const std::array<Piece, 1> whole{{{frame.header.bytes().data(), frame.header.size()}}};
    return write(whole);
  }
  MutableSlice copy = shard_.buffers().allocate(frame.byte_count(), 0);
  if (!copy) return would_block;
  const auto append = [&](Bytes bytes) {
    std::memcpy(copy.grow_back(static_cast<std::uint32_t>(bytes.size())).data(), bytes.data(), bytes.size());
  };
  append(frame.header.bytes());
  for (const Slice& slice : frame.payload) append(slice.bytes());
  const std::array<Piece, 1> whole{{{copy.bytes().data(), copy.size()}}};
  return write(whole);
}

FrameDevice::Outcome FrameDevice::transmit(TransmitFrame& frame) noexcept {
  if (frame.byte_count() > capabilities_.maximum_frame) {
    ++statistics_.too_large;
    return Outcome::dropped;
  }
  const long result = scatter_ ? write_gathered(frame) : write_copied(frame);
  if (result == would_block) return Outcome::again;
  ++(result < 0 ? statistics_.refused : statistics_.sent);
  return result < 0 ? Outcome::dropped : Outcome::done;
}

std::size_t FrameDevice::send(std::span<TransmitFrame> frames) noexcept {
  std::size_t count = 0;
  for (TransmitFrame& frame : frames) {
    if (transmit(frame) == Outcome::again) {
      retry_.arm(shard_.timers(), shard_.now() + retry_after);
      break;
    }
    frame.header = MutableSlice{};
    frame.payload.clear();
    ++count;
  }
  return count;
}

}  // namespace mirage::target::solo5
