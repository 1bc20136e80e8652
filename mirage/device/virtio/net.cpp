// SPDX-License-Identifier: ISC
// What the device does once it is started: frames in, frames out.
#include <algorithm>
#include <cstring>

#include <mirage/device/virtio/flow_hash.hpp>
#include <mirage/device/virtio/net.hpp>

namespace mirage::virtio {

namespace {

/// A received frame's buffers: all but the last place of its list refer to them, the rest is copied into a large block.
constexpr std::size_t referenced_buffers = SliceList::capacity - 1;
constexpr std::size_t maximum_buffers = referenced_buffers + large_capacity / frame_capacity;

/// The beginning of a frame, in one piece.
Bytes beginning_of(const TransmitFrame& frame, std::span<std::byte, flow_hash_bytes> room) noexcept {
  std::size_t size = 0;
  const auto append = [&](Bytes bytes) {
    const Bytes part = bytes.first(std::min(bytes.size(), room.size() - size));
    std::ranges::copy(part, room.subspan(size).begin());
    size += part.size();
  };
  append(frame.header.bytes());
  for (const Slice& slice : frame.payload) append(slice.bytes());
  return room.first(size);
}

}  // namespace

bool NetDevice::give_buffer(Pair& pair, std::uint16_t slot) noexcept {
  MutableSlice& buffer = pair.slots[slot];
  buffer = buffers_.allocate(frame_capacity, 0);
  if (!buffer) {
    ++statistics_.no_buffer;
    return false;
  }
  const MutableBytes room = buffer.tail();
  // A legacy device without ANY_LAYOUT wants the header apart, on receive too unless buffers are merged.
  const bool apart = split_header_ && !merge_;
  const std::array segments{writable(room.first(apart ? header_size_ : room.size())),
                            writable(room.subspan(apart ? header_size_ : 0))};
  if (pair.receive.add(std::span(segments).first(apart ? 2 : 1), slot)) return true;
  buffer = {};
  return false;
}

void NetDevice::refill(Pair& pair) noexcept {
  while (pair.empty_count > 0 && give_buffer(pair, pair.empty[pair.empty_count - 1])) --pair.empty_count;
  pair.receive.publish();
}

/// Looks at the header in front of a frame's first buffer.
bool NetDevice::begin_frame(Pair& pair, Slice first) noexcept {
  pair.partial.data.clear();
  pair.partial_tail = {};
  pair.partial_left = 0;
  pair.partial_dropped = false;
  if (first.size() < header_size_) {
    ++statistics_.short_frame;
    return false;
  }
  std::memcpy(pair.partial_header.data(), first.data(), header_size_);
  const auto buffers =
      merge_ ? load_little<std::uint16_t>(pair.partial_header, VnetHeader::buffers_at) : std::uint16_t{1};
  if (buffers == 0 || buffers > maximum_buffers) {
    // The rest of such a frame cannot be told from the next one's: its buffers are skipped, as many as it claims.
    ++statistics_.bad_merge;
    pair.partial_left = buffers == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(buffers - 1);
    pair.partial_dropped = true;
    return false;
  }
  pair.partial_left = static_cast<std::uint16_t>(buffers - 1);
  first.remove_prefix(header_size_);
  return pair.partial.data.push_back(std::move(first));
}

void NetDevice::continue_frame(Pair& pair, Slice data) noexcept {
  if (pair.partial.data.size() < referenced_buffers) {
    (void)pair.partial.data.push_back(std::move(data));
    return;
  }
  if (!pair.partial_tail) pair.partial_tail = buffers_.allocate(large_capacity, 0);
  // The number of buffers was checked, so only an exhausted pool leaves too little room.
  if (pair.partial_tail.tailroom() < data.size()) {
    ++statistics_.no_buffer;
    pair.partial_dropped = true;
    return;
  }
  std::ranges::copy(data.bytes(), pair.partial_tail.grow_back(data.size()).begin());
}

/// Section 5.1.6.4: a device sends no kind of frame whose feature was not negotiated. One that does all the same would
/// have the stack trust metadata that it is not prepared for.
bool NetDevice::negotiated(const Offload& offload) const noexcept {
  if (offload.needs_checksum && !capabilities_.receive_checksum) return false;
  switch (offload.segmentation) {
    case Offload::Segmentation::none:
      return true;
    case Offload::Segmentation::tcp4:
      return coalesce_tcp4_;
    case Offload::Segmentation::tcp6:
      return coalesce_tcp6_;
    case Offload::Segmentation::udp:
      return false;
  }
  return false;
}

bool NetDevice::finish_frame(Pair& pair, ReceivedFrame& frame) noexcept {
  (void)pair.partial.data.push_back(std::exchange(pair.partial_tail, {}).freeze());
  if (pair.partial.data.byte_count() < ethernet_header_size ||
      pair.partial.data.begin()->size() < ethernet_header_size) {
    ++statistics_.short_frame;
    return false;
  }
  const auto offload = VnetHeader::read(pair.partial_header, pair.partial.data.byte_count());
  if (!offload) {
    ++statistics_.bad_offload;
    return false;
  }
  pair.partial.offload = *offload;
  if (!negotiated(pair.partial.offload)) {
    ++statistics_.not_negotiated;
    return false;
  }
  frame = std::move(pair.partial);
  ++statistics_.received;
  ++pair.statistics.received;
  return true;
}

/// True when `frame` is complete.
bool NetDevice::receive(Pair& pair, const Completion& completion, ReceivedFrame& frame) noexcept {
  MutableSlice buffer = std::move(pair.slots[completion.token]);
  pair.empty[pair.empty_count++] = completion.token;
  buffer.grow_back(completion.written);
  Slice data = std::move(buffer).freeze();
  if (pair.partial_left == 0) {
    return begin_frame(pair, std::move(data)) && pair.partial_left == 0 && finish_frame(pair, frame);
  }
  --pair.partial_left;
  if (pair.partial_dropped) return false;
  continue_frame(pair, std::move(data));
  return pair.partial_left == 0 && !pair.partial_dropped && finish_frame(pair, frame);
}

std::size_t NetDevice::poll(Pair& pair, std::span<ReceivedFrame> frames) noexcept {
  std::size_t count = 0;
  while (count < frames.size()) {
    const auto completion = pair.receive.take();
    if (!completion) break;
    if (receive(pair, *completion, frames[count])) ++count;
  }
  if (pair.empty_count > 0) refill(pair);
  return count;
}

std::size_t NetDevice::poll(std::span<ReceivedFrame> frames) noexcept {
  reclaim();
  // Each call begins with another pair: one that always has frames does not keep the others waiting.
  const std::size_t first = first_pair_;
  std::size_t count = 0;
  for (Pair& pair : pairs().subspan(first)) count += poll(pair, frames.subspan(count));
  for (Pair& pair : pairs().first(first)) count += poll(pair, frames.subspan(count));
  first_pair_ = first + 1 < pair_count_ ? static_cast<std::uint16_t>(first + 1) : std::uint16_t{0};
  return count;
}

void NetDevice::reclaim() noexcept {
  for (Pair& pair : pairs()) {
    while (const auto completion = pair.transmit.take()) {
      TransmitSlot& slot = transmit_slots_[completion->token];
      slot.frame.header = {};
      slot.frame.payload.clear();
      slot.next_free = std::exchange(first_transmit_, completion->token);
      transmit_blocked_ = false;
    }
  }
}

/// Writes the device's header into the frame's headroom, or beside it, and lists the pieces.
std::size_t NetDevice::gather(TransmitSlot& slot, std::span<Segment> segments) noexcept {
  TransmitFrame& frame = slot.frame;
  std::size_t count = 0;
  if (!split_header_ && frame.header && frame.header.headroom() >= header_size_) {
    VnetHeader::write(frame.header.grow_front(static_cast<std::uint32_t>(header_size_)), frame.offload);
  } else {
    const MutableBytes header = std::span(slot.header).first(header_size_);
    VnetHeader::write(header, frame.offload);
    segments[count++] = readable(header);
  }
  if (!frame.header.empty()) segments[count++] = readable(std::as_const(frame.header).bytes());
  for (const Slice& slice : frame.payload) segments[count++] = readable(slice.bytes());
  return count;
}

NetDevice::Pair& NetDevice::pair_for(const TransmitFrame& frame) noexcept {
  if (pair_count_ == 1) return pairs_[0];
  std::array<std::byte, flow_hash_bytes> room;
  return pairs_[place_of(flow_hash(beginning_of(frame, room)), pair_count_)];
}

NetDevice::Outcome NetDevice::transmit(Pair& pair, TransmitFrame& frame) noexcept {
  const std::size_t size = frame.byte_count();
  if (size < ethernet_header_size || size > capabilities_.maximum_frame) {
    ++statistics_.bad_frame;
    return Outcome::dropped;
  }
  // Room for the longest chain, so that add() cannot fail (with indirect descriptors one would do).
  if (first_transmit_ == no_slot || pair.transmit.free_descriptors() < Queue::maximum_segments) return Outcome::full;
  const std::uint16_t index = first_transmit_;
  TransmitSlot& slot = transmit_slots_[index];
  slot.frame = std::move(frame);
  std::array<Segment, Queue::maximum_segments> segments;
  const std::size_t count = gather(slot, segments);
  if (!pair.transmit.add(std::span(segments).first(count), index)) {
    // Only when the queue is broken: nothing will ever be sent.
    slot.frame.header = {};
    slot.frame.payload.clear();
    ++statistics_.bad_frame;
    return Outcome::dropped;
  }
  first_transmit_ = std::exchange(slot.next_free, no_slot);
  ++statistics_.sent;
  ++pair.statistics.sent;
  return Outcome::sent;
}

std::size_t NetDevice::send(std::span<TransmitFrame> frames) noexcept {
  reclaim();
  std::size_t count = 0;
  for (; count < frames.size() && pair_count_ != 0; ++count) {
    const Outcome outcome = transmit(pair_for(frames[count]), frames[count]);
    if (outcome == Outcome::full) {
      transmit_blocked_ = true;
      break;
    }
    if (outcome == Outcome::dropped) frames[count] = {};
  }
  for (Pair& pair : pairs()) pair.transmit.publish();
  return count;
}

bool NetDevice::arm() noexcept {
  bool ready = false;
  // Finished transmissions only matter to somebody who waits for room, or for the memory that they hold: without a
  // receive buffer nothing else might ever wake us.
  bool waits = transmit_blocked_;
  for (Pair& pair : pairs()) {
    if (pair.empty_count > 0) refill(pair);
    ready |= pair.receive.enable_interrupts();
    waits |= pair.empty_count > 0;
  }
  if (!waits) return ready;
  for (Pair& pair : pairs()) ready |= pair.transmit.enable_interrupts();
  return ready;
}

void NetDevice::disarm() noexcept {
  for (Pair& pair : pairs()) {
    pair.receive.disable_interrupts();
    pair.transmit.disable_interrupts();
  }
}

}  // namespace mirage::virtio
