// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cstring>

#include <mirage/runtime/platform.hpp>
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>
#include <mirage/target/spt/net.hpp>

namespace mirage::target::spt {

namespace {

constexpr std::uint8_t needs_checksum_flag = 1;
constexpr std::uint8_t data_valid_flag = 2;
constexpr std::uint8_t ecn_bit = 0x80;
constexpr std::uint32_t largest_segment = 65535 + ethernet_header_size;
/// The host offers no event for room in its queue; frames that it refused are offered again this much later.
constexpr Duration retry_after = std::chrono::microseconds{100};

constexpr Offload::Segmentation segmentation_of(std::uint8_t type) noexcept {
  switch (type & ~ecn_bit) {
    case 1:
      return Offload::Segmentation::tcp4;
    case 4:
      return Offload::Segmentation::tcp6;
    case 5:
      return Offload::Segmentation::udp;
    default:
      return Offload::Segmentation::none;
  }
}

constexpr std::uint8_t type_of(Offload::Segmentation segmentation) noexcept {
  switch (segmentation) {
    case Offload::Segmentation::tcp4:
      return 1;
    case Offload::Segmentation::tcp6:
      return 4;
    case Offload::Segmentation::udp:
      return 5;
    case Offload::Segmentation::none:
      break;
  }
  return 0;
}

constexpr std::string_view yes_or_no(bool value) noexcept { return value ? "yes" : "no"; }

long system_call(call::Number number, int descriptor, const void* memory, std::size_t size) noexcept {
  long result = 0;
  do {
    result = call::make(number, descriptor, call::address(memory), static_cast<long>(size));
  } while (result == call::error_interrupted);
  return result;
}

/// The other end of a socket closed, or the tap was removed: that cannot be mended from here, and the wait set would
/// report it for ever.
constexpr bool gone(long result) noexcept {
  return result == 0 || result == call::error_bad_state || result == call::error_reset;
}

}  // namespace

Result<void, StartError> Net::attach() noexcept {
  const solo5::ManifestEntry* entry = find_device(name_, solo5::DeviceType::net);
  if (entry == nullptr) return Failure{StartError{"no network '{}' is attached", name_}};
  descriptor_ = entry->descriptor;
  const solo5::Extension* known = extension();
  const auto index = static_cast<std::size_t>(entry - manifest().data());
  scatter_ = granted(solo5::scatter);
  vnet_ = scatter_ && granted(solo5::vnet_header) && (known->vnet_devices >> index & 1) != 0;
  std::ranges::copy(entry->net.mac, capabilities_.mac.octets.begin());
  capabilities_.mtu = entry->net.mtu;
  capabilities_.maximum_frame = vnet_ ? largest_segment : entry->net.mtu + std::uint32_t{ethernet_header_size};
  capabilities_.gather = scatter_;
  capabilities_.transmit_checksum = vnet_;
  capabilities_.receive_checksum = vnet_;
  capabilities_.segment_tcp4 = vnet_;
  capabilities_.segment_tcp6 = vnet_;
  capabilities_.coalesce = vnet_;
  if (!refill()) return Failure{StartError{"no memory for the buffers of network '{}'", name_}};
  shard_.logger("spt").info("network '{}': mtu={} offload={} gather={}", name_, capabilities_.mtu, yes_or_no(vnet_),
                            yes_or_no(scatter_));
  return {};
}

Task<Result<void, StartError>> Net::start() { co_return attach(); }

/// Makes sure that a frame of any size that the device may deliver can be received.
bool Net::refill() noexcept {
  const std::size_t largest =
      std::max<std::size_t>(capabilities_.maximum_frame, capabilities_.mtu + ethernet_header_size);
  constexpr std::uint32_t headroom = 32;  // 2 more would align the IP header; frames come as they are
  constexpr std::size_t small = frame_capacity - headroom;
  if (!first_) first_ = shard_.buffers().allocate(scatter_ ? small : std::min(largest, small), headroom);
  if (!rest_ && largest > small) rest_ = shard_.buffers().allocate(largest, 0);
  return first_ && (rest_ || largest <= small);
}

/// Receives one frame into first_ and rest_; its size, or minus an errno value.
long Net::receive_bytes() noexcept {
  if (!scatter_) {
    const MutableBytes room = rest_ ? rest_.tail() : first_.tail();
    return system_call(call::Number::read, descriptor_, room.data(), room.size());
  }
  std::array<call::IoVector, 3> pieces;
  std::size_t count = 0;
  if (vnet_) pieces[count++] = {&received_header_, sizeof received_header_};
  pieces[count++] = {first_.tail().data(), first_.tail().size()};
  if (rest_) pieces[count++] = {rest_.tail().data(), rest_.tail().size()};
  const long size = system_call(call::Number::readv, descriptor_, pieces.data(), count);
  const long header = vnet_ ? sizeof received_header_ : 0;
  return size <= 0 ? size : std::max(size - header, 0L);
}

/// Fields of the host's header that do not fit the frame make it unusable.
bool Net::read_header(const VnetHeader& header, std::size_t frame_size, Offload& offload) noexcept {
  offload.needs_checksum = (header.flags & needs_checksum_flag) != 0;
  offload.checksum_valid = (header.flags & data_valid_flag) != 0;
  offload.segmentation = segmentation_of(header.segmentation);
  offload.checksum_start = header.checksum_start;
  offload.checksum_offset = header.checksum_offset;
  offload.segment_size = header.segment_size;
  offload.header_length = header.header_length;
  if (offload.needs_checksum) {
    const std::size_t end = std::size_t{header.checksum_start} + header.checksum_offset + sizeof(std::uint16_t);
    if (header.checksum_start < ethernet_header_size || end > frame_size) return false;
  }
  return offload.segmentation == Offload::Segmentation::none || (header.segment_size != 0 && offload.needs_checksum);
}

Net::VnetHeader Net::make_header(const Offload& offload) noexcept {
  return {.flags = offload.needs_checksum ? needs_checksum_flag : std::uint8_t{0},
          .segmentation = type_of(offload.segmentation),
          .header_length = offload.header_length,
          .segment_size = offload.segment_size,
          .checksum_start = offload.needs_checksum ? offload.checksum_start : std::uint16_t{0},
          .checksum_offset = offload.needs_checksum ? offload.checksum_offset : std::uint16_t{0}};
}

void Net::end() noexcept {
  shard_.logger("spt").error("network '{}' is gone: the host has removed it", name_);
  platform::exit(1);
}

Net::Outcome Net::receive(ReceivedFrame& frame) noexcept {
  if (!refill() && !first_) return Outcome::again;
  const long result = receive_bytes();
  if (gone(result)) end();
  if (result <= 0) return Outcome::again;
  const auto size = static_cast<std::size_t>(result);
  frame.data.clear();
  frame.offload = {};
  if (vnet_ && !read_header(received_header_, size, frame.offload)) {
    ++statistics_.bad_offload;
    return Outcome::dropped;
  }
  if (!scatter_ && rest_) {  // one read into the large buffer: a small frame must not pin it
    if (size > first_.tailroom()) {
      rest_.grow_back(static_cast<std::uint32_t>(size));
      (void)frame.data.push_back(std::move(rest_).freeze());
      return Outcome::done;
    }
    std::memcpy(first_.tail().data(), rest_.tail().data(), size);
  }
  const std::size_t front = std::min<std::size_t>(size, first_.tailroom());
  // The reserve first: when there is no buffer to take first_'s place, the frame is dropped and the device drained.
  MutableSlice next = shard_.buffers().allocate(frame_capacity - header_headroom, 32);
  if (!next) {
    ++statistics_.no_buffer;
    return Outcome::dropped;
  }
  first_.grow_back(static_cast<std::uint32_t>(front));
  (void)frame.data.push_back(std::move(first_).freeze());
  first_ = std::move(next);
  if (size > front) {
    rest_.grow_back(static_cast<std::uint32_t>(size - front));
    (void)frame.data.push_back(std::move(rest_).freeze());
  }
  return Outcome::done;
}

std::size_t Net::poll(std::span<ReceivedFrame> frames) noexcept {
  std::size_t count = 0;
  // Dropped frames count towards the burst too, or a flood with an empty pool would never let go.
  for (std::size_t tries = 0; tries < frames.size(); ++tries) {
    const Outcome outcome = receive(frames[count]);
    if (outcome == Outcome::again) break;
    if (outcome == Outcome::done) ++count;
  }
  statistics_.received += count;
  return count;
}

long Net::write_gathered(TransmitFrame& frame) noexcept {
  const VnetHeader header = make_header(frame.offload);
  std::array<call::IoVector, SliceList::capacity + 2> pieces;
  std::size_t count = 0;
  if (vnet_) pieces[count++] = {&header, sizeof header};
  pieces[count++] = {frame.header.bytes().data(), frame.header.size()};
  for (const Slice& slice : frame.payload) pieces[count++] = {slice.data(), slice.size()};
  return system_call(call::Number::writev, descriptor_, pieces.data(), count);
}

/// A stock tender: one piece of memory per frame.
long Net::write_copied(TransmitFrame& frame) noexcept {
  if (frame.payload.empty()) {
    return system_call(call::Number::write, descriptor_, frame.header.bytes().data(), frame.header.size());
  }
  const MutableSlice copy = [&]() noexcept {
    MutableSlice room = shard_.buffers().allocate(frame.byte_count(), 0);
    if (!room) return room;
    const auto append = [&](Bytes bytes) {
      std::memcpy(room.grow_back(static_cast<std::uint32_t>(bytes.size())).data(), bytes.data(), bytes.size());
    };
    append(frame.header.bytes());
    for (const Slice& slice : frame.payload) append(slice.bytes());
    return room;
  }();
  if (!copy) return call::error_again;
  return system_call(call::Number::write, descriptor_, copy.bytes().data(), copy.size());
}

Net::Outcome Net::transmit(TransmitFrame& frame) noexcept {
  if (frame.byte_count() > capabilities_.maximum_frame) {
    ++statistics_.too_large;
    return Outcome::dropped;
  }
  const long result = scatter_ ? write_gathered(frame) : write_copied(frame);
  if (result == call::error_again) return Outcome::again;
  ++(result < 0 ? statistics_.refused : statistics_.sent);
  return result < 0 ? Outcome::dropped : Outcome::done;
}

std::size_t Net::send(std::span<TransmitFrame> frames) noexcept {
  std::size_t count = 0;
  for (TransmitFrame& frame : frames) {
    if (transmit(frame) == Outcome::again) {
      retry_.arm(shard_.timers(), shard_.now() + retry_after);
      break;
    }
    [[maybe_unused]] const TransmitFrame taken = std::move(frame);
    ++count;
  }
  return count;
}

static_assert(mirage::Net<Net>);

}  // namespace mirage::target::spt
