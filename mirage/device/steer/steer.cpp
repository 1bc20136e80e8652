// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>

#include <mirage/device/steer/steer.hpp>
#include <mirage/wire/arp.hpp>
#include <mirage/wire/ethernet.hpp>

namespace mirage::device {

namespace {

/// A message is the offload metadata, ten bytes, and the frame.
constexpr std::size_t meta_size = 10;
constexpr std::size_t largest_frame = 65535 + ethernet_header_size + 4;  // tagged
/// Two bytes more than a multiple of 16: aligns the IP header behind Ethernet's.
constexpr std::uint32_t receive_headroom = 34;

using Meta = std::array<std::byte, meta_size>;

Meta pack(const mirage::Offload& offload) noexcept {
  Meta out{};
  out[0] = static_cast<std::byte>((offload.needs_checksum ? 1 : 0) | (offload.checksum_valid ? 2 : 0));
  out[1] = static_cast<std::byte>(offload.segmentation);
  store_little(out, 2, offload.checksum_start);
  store_little(out, 4, offload.checksum_offset);
  store_little(out, 6, offload.segment_size);
  store_little(out, 8, offload.header_length);
  return out;
}

/// False for a kind of segmentation that there is not. Everything else is checked against the frame by device/offload.
bool unpack(Bytes meta, mirage::Offload& offload) noexcept {
  const auto flags = std::to_integer<unsigned>(meta[0]);
  const auto segmentation = std::to_integer<std::uint8_t>(meta[1]);
  if (segmentation > static_cast<std::uint8_t>(mirage::Offload::Segmentation::udp)) return false;
  offload = {.needs_checksum = (flags & 1) != 0,
             .checksum_valid = (flags & 2) != 0,
             .segmentation = static_cast<mirage::Offload::Segmentation>(segmentation),
             .checksum_start = load_little<std::uint16_t>(meta, 2),
             .checksum_offset = load_little<std::uint16_t>(meta, 4),
             .segment_size = load_little<std::uint16_t>(meta, 6),
             .header_length = load_little<std::uint16_t>(meta, 8)};
  return true;
}

}  // namespace

Task<Result<void, StartError>> Steer::start() {
  const ShardPlace place = place_of_(origin_);
  capabilities_ = device_.capabilities();
  if (place.count <= 1) co_return Result<void, StartError>{};
  if (!mailbox_.open(place)) co_return Failure{StartError("the memory that the shards share is not theirs")};
  index_ = place.index;
  count_ = place.count;
  const auto secret = mailbox_.secret();
  // Each use of the secret is by a key of its own.
  owner_ = Owner{count_, {secret[0] ^ 0x7374'6565'7200'0000, secret[1]}};
  capabilities_.ports = {index_, count_};
  secret_ = {secret[0] ^ 0x7368'6172'6564'0000, secret[1]};
  capabilities_.shared_secret = as_text(std::as_bytes(std::span{secret_}));
  shard_.logger("steer").info("shard {} of {}", index_, count_);
  co_return Result<void, StartError>{};
}

// --- what arrives ---

std::size_t Steer::poll(std::span<ReceivedFrame> frames) noexcept {
  if (count_ == 1) return device_.queue(0).poll(frames);
  std::size_t filled = receive(frames.first(frames.size() / 2));
  const auto arrived = frames.subspan(filled);
  const std::size_t count = device_.queue(0).poll(arrived);
  for (std::size_t i = 0; i < count; ++i) {
    ReceivedFrame& frame = arrived[i];
    if (!keep(frame)) {
      frame = {};
    } else if (&frames[filled++] != &frame) {
      frames[filled - 1] = std::move(frame);
    }
  }
  counters_.woken += mailbox_.publish();
  return filled;
}

/// Gives the others what is theirs; true when the frame is ours, too.
bool Steer::keep(const ReceivedFrame& frame) noexcept {
  const Verdict verdict = owner_.of(frame.data.empty() ? Bytes{} : frame.data[0].bytes());
  switch (verdict.kind) {
    case Verdict::Kind::here:
      return true;
    case Verdict::Kind::everyone:
      spread(frame);
      return true;
    case Verdict::Kind::news:
      tell(frame);
      return true;
    case Verdict::Kind::shard:
      break;
  }
  if (verdict.shard == index_) return true;
  ++counters_.passed;
  pass(frame, verdict.shard);
  return false;
}

void Steer::pass(const ReceivedFrame& frame, std::uint16_t shard) noexcept {
  const Meta meta = pack(frame.offload);
  std::array<Bytes, 1 + SliceList::capacity> parts;
  std::size_t count = 0;
  parts[count++] = meta;
  for (const Slice& slice : frame.data) parts[count++] = slice.bytes();
  post(shard, std::span{parts}.first(count));
}

void Steer::spread(const ReceivedFrame& frame) noexcept {
  ++counters_.shared;
  for (std::uint16_t other = 0; other < count_; ++other) {
    if (other != index_) pass(frame, other);
  }
}

/// An ARP question that this shard answers tells the others where the asker is, like an announcement: a question for
/// the asker's own address (RFC 5227 3), which nobody answers.
void Steer::tell(const ReceivedFrame& frame) noexcept {
  ++counters_.shared;
  std::array<std::byte, wire::EthernetHeader::size + vlan_tag_size + wire::ArpPacket::size> copy{};
  const Bytes whole = frame.data[0].bytes();
  const bool tagged = load_big<std::uint16_t>(whole, wire::EthernetHeader::type_at) != wire::ether_type::arp;
  const std::size_t header = wire::EthernetHeader::size + (tagged ? vlan_tag_size : 0);
  auto packet = wire::ArpPacket::parse(whole.subspan(header));
  if (!packet) return;  // it was one when Owner looked
  packet->target_ip = packet->sender_ip;
  std::ranges::copy(whole.first(header), copy.begin());
  packet->emit(MutableBytes{copy}.subspan(header));
  const Meta meta = pack({});
  const std::array<Bytes, 2> parts{meta, Bytes{copy}.first(header + wire::ArpPacket::size)};
  for (std::uint16_t other = 0; other < count_; ++other) {
    if (other != index_) post(other, parts);
  }
}

void Steer::post(std::uint16_t shard, std::span<const Bytes> parts) noexcept {
  if (!mailbox_.send(shard, parts)) ++counters_.drop_full;
}

// --- what others received for us ---

std::size_t Steer::receive(std::span<ReceivedFrame> frames) noexcept {
  std::size_t filled = 0;
  next_ = static_cast<std::uint16_t>((next_ + 1) % count_);
  for (std::uint16_t i = 0; i < count_; ++i) {
    const auto other = static_cast<std::uint16_t>((next_ + i) % count_);
    if (other == index_) continue;
    MailboxReceiver& from = mailbox_.from(other);
    while (filled < frames.size()) {
      const auto size = from.next();
      if (!size) break;
      if (take(from, *size, frames[filled])) ++filled;
      from.drop();
    }
  }
  counters_.received += filled;
  return filled;
}

bool Steer::take(MailboxReceiver& from, std::uint32_t size, ReceivedFrame& frame) noexcept {
  Meta meta;
  mirage::Offload offload;
  const bool possible = size >= meta_size + wire::EthernetHeader::size && size <= meta_size + largest_frame;
  if (possible) from.copy(0, meta);
  if (!possible || !unpack(meta, offload)) {
    ++counters_.drop_malformed;
    return false;
  }
  const auto length = static_cast<std::uint32_t>(size - meta_size);
  MutableSlice buffer = shard_.buffers().allocate(length, receive_headroom);
  if (!buffer) {
    ++counters_.drop_no_memory;
    return false;
  }
  from.copy(meta_size, buffer.grow_back(length));
  frame.data.clear();
  (void)frame.data.push_back(std::move(buffer).freeze());
  frame.offload = offload;
  return true;
}

void Steer::visit_counters(CounterVisitor& visitor) const noexcept {
  visitor.counters("steer", counters_of(counters_));
  visitor.gauge("steer", "shard", index_);
  visitor.gauge("steer", "shards", count_);
}

}  // namespace mirage::device
