// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <mirage/net/ip/fragmentation.hpp>
#include <mirage/net/ip/reassembly.hpp>
#include <mirage/net/ip/route.hpp>

namespace mirage::net::ip {

namespace {
constexpr std::size_t every_interface = maximum_interfaces;
constexpr std::uint32_t copied_out = 256;  // a piece this small must not pin a whole buffer
}  // namespace

ReassemblyOutcome Reassembly::add(Fragment&& fragment, Time now, Reassembled& out) noexcept {
  Datagram* datagram = find_or_start(fragment.key, now);
  if (datagram == nullptr) return ReassemblyOutcome::no_memory;
  auto outcome = insert(*datagram, fragment);
  if (outcome == ReassemblyOutcome::complete) outcome = join(*datagram, out);
  if (outcome != ReassemblyOutcome::waiting) {
    release(*datagram);
    return outcome;
  }
  while (pinned_ > options_.pinned_bytes) {
    Datagram* given_up = victim();
    if (given_up == datagram) outcome = ReassemblyOutcome::no_memory;
    ++displaced_;
    release(*given_up);
  }
  return outcome;
}

Reassembly::Datagram* Reassembly::find_or_start(const FragmentKey& key, Time now) noexcept {
  if (!datagrams_) datagrams_.reset(new (std::nothrow) Datagram[options_.datagrams]);
  if (!datagrams_) return nullptr;
  Datagram* free = nullptr;
  for (std::size_t i = 0; i < options_.datagrams; ++i) {
    Datagram& datagram = datagrams_[i];
    if (datagram.count == 0) {
      free = &datagram;
    } else if (datagram.key == key) {
      return &datagram;
    }
  }
  if (free == nullptr) {
    free = victim();
    ++displaced_;
    release(*free);
  }
  free->key = key;
  free->deadline = now + options_.timeout;
  return free;
}

Reassembly::Datagram* Reassembly::oldest(std::size_t interface) noexcept {
  Datagram* found = nullptr;
  for (std::size_t i = 0; i < options_.datagrams; ++i) {
    Datagram& datagram = datagrams_[i];
    if (datagram.count == 0 || (interface != datagram.key.interface && interface != every_interface)) continue;
    if (found == nullptr || datagram.deadline < found->deadline) found = &datagram;
  }
  return found;
}

/// The oldest datagram of the interface whose datagrams pin most.
Reassembly::Datagram* Reassembly::victim() noexcept {
  std::array<std::size_t, maximum_interfaces> pinned{};
  for (std::size_t i = 0; i < options_.datagrams; ++i) pinned[datagrams_[i].key.interface] += datagrams_[i].pinned;
  const auto most = static_cast<std::size_t>(std::ranges::max_element(pinned) - pinned.begin());
  return oldest(most);
}

/// The fragment's payload as one slice that does not pin much more than it holds; empty without memory.
Slice Reassembly::single(SliceList& payload) noexcept {
  const std::size_t size = payload.byte_count();
  const bool wasteful = size <= frame_capacity && payload[0].pinned() > 4 * size;
  if (payload.size() == 1 && size > copied_out && !wasteful) return std::move(payload[0]);
  MutableSlice copy = pool_.allocate(size, 0);
  if (!copy) return {};
  for (const Slice& slice : payload) std::memcpy(copy.grow_back(slice.size()).data(), slice.data(), slice.size());
  return std::move(copy).freeze();
}

ReassemblyOutcome Reassembly::insert(Datagram& datagram, Fragment& fragment) noexcept {
  const std::size_t size = fragment.payload.byte_count();
  const std::size_t end = fragment.offset + size;
  if (size == 0 || end > 0xffff) return ReassemblyOutcome::inconsistent;
  if (!fragment.more && datagram.end != 0 && datagram.end != end) return ReassemblyOutcome::inconsistent;
  if (datagram.end != 0 && end > datagram.end) return ReassemblyOutcome::inconsistent;
  std::size_t place = datagram.count;
  while (place > 0 && datagram.pieces[place - 1].offset > fragment.offset) --place;
  if (place > 0) {
    const Piece& before = datagram.pieces[place - 1];
    // An exact repetition is the network's doing, not an attack (RFC 8200 4.5).
    if (before.offset == fragment.offset && before.size == size) return ReassemblyOutcome::waiting;
    if (before.offset + before.size > fragment.offset) return ReassemblyOutcome::overlap;
  }
  if (place < datagram.count && datagram.pieces[place].offset < end) return ReassemblyOutcome::overlap;
  if (!fragment.more && place != datagram.count) return ReassemblyOutcome::inconsistent;
  if (datagram.count == maximum_fragments) return ReassemblyOutcome::too_many;
  Slice data = single(fragment.payload);
  if (data.empty()) return ReassemblyOutcome::no_memory;

  for (std::size_t i = datagram.count; i > place; --i) datagram.pieces[i] = std::move(datagram.pieces[i - 1]);
  // A first one's packet often lies in the data's buffer: counted twice rather than not at all where data was copied.
  const std::uint32_t pinned = data.pinned() + (fragment.offset == 0 ? fragment.original.pinned() : 0);
  datagram.pinned += pinned;
  pinned_ += pinned;
  datagram.pieces[place] = {fragment.offset, static_cast<std::uint16_t>(size), std::move(data)};
  ++datagram.count;
  datagram.ecn_seen |= static_cast<std::uint8_t>(1U << (fragment.ecn & 3));
  datagram.received += static_cast<std::uint32_t>(size);
  if (!fragment.more) datagram.end = static_cast<std::uint32_t>(end);
  if (fragment.offset == 0) {
    datagram.original = std::move(fragment.original);
    datagram.protocol = fragment.protocol;
  }
  return datagram.received == datagram.end ? ReassemblyOutcome::complete : ReassemblyOutcome::waiting;
}

/// By reference where a SliceList can hold the pieces and the transport header is contiguous, else by a copy.
ReassemblyOutcome Reassembly::join(Datagram& datagram, Reassembled& out) noexcept {
  // RFC 3168 5.3: congestion that one fragment met is the datagram's, unless another one could not have told.
  constexpr unsigned not_capable = 1;
  constexpr unsigned experienced = 8;
  out.congestion = (datagram.ecn_seen & experienced) != 0;
  if (out.congestion && (datagram.ecn_seen & not_capable) != 0) return ReassemblyOutcome::inconsistent;
  const bool contiguous = datagram.pieces[0].size >= contiguous_header || datagram.count == 1;
  if (datagram.count <= SliceList::capacity && contiguous) {
    for (std::size_t i = 0; i < datagram.count; ++i) (void)out.payload.push_back(std::move(datagram.pieces[i].data));
  } else {
    MutableSlice whole = pool_.allocate(datagram.end, 0);
    if (!whole) return ReassemblyOutcome::no_memory;
    for (std::size_t i = 0; i < datagram.count; ++i) {
      const Slice& piece = datagram.pieces[i].data;
      std::memcpy(whole.grow_back(piece.size()).data(), piece.data(), piece.size());
    }
    (void)out.payload.push_back(std::move(whole).freeze());
  }
  out.original = std::move(datagram.original);
  out.protocol = datagram.protocol;
  return ReassemblyOutcome::complete;
}

void Reassembly::release(Datagram& datagram) noexcept {
  for (std::size_t i = 0; i < datagram.count; ++i) datagram.pieces[i] = {};
  pinned_ -= datagram.pinned;
  datagram.original = {};
  datagram.count = 0;
  datagram.end = datagram.received = datagram.pinned = 0;
  datagram.ecn_seen = 0;
  datagram.deadline = never;
}

bool Reassembly::expire(Time now, Slice& original) noexcept {
  if (!datagrams_) return false;
  Datagram* datagram = oldest(every_interface);
  if (datagram == nullptr || datagram->deadline > now) return false;
  original = std::move(datagram->original);
  release(*datagram);
  return true;
}

Time Reassembly::next_deadline() const noexcept {
  Time next = never;
  for (std::size_t i = 0; datagrams_ && i < options_.datagrams; ++i) {
    if (datagrams_[i].count != 0 && datagrams_[i].deadline < next) next = datagrams_[i].deadline;
  }
  return next;
}

}  // namespace mirage::net::ip
