// SPDX-License-Identifier: ISC
#include <new>
#include <utility>

#include <mirage/net/ethernet/neighbour.hpp>

namespace mirage::net::ethernet {

NeighbourCache::~NeighbourCache() { clear(); }

bool NeighbourCache::start(std::uint32_t key) noexcept {
  key_ = key;
  if (!entries_) entries_.reset(new (std::nothrow) Neighbour[capacity()]);
  return entries_ != nullptr;
}

Neighbour* NeighbourCache::set_of(const IpAddress& address) const noexcept {
  const std::uint64_t folded = address.high() * 0x9e3779b97f4a7c15U ^ address.low();
  const std::uint32_t mixed = (static_cast<std::uint32_t>(folded >> 32 ^ folded) ^ key_) * 0x9e3779b1U;
  return &entries_[(mixed >> 16 & (options_.sets - 1U)) * ways];
}

Neighbour* NeighbourCache::find(const IpAddress& address) const noexcept {
  Neighbour* set = set_of(address);
  for (std::size_t way = 0; way < ways; ++way) {
    if (set[way].address == address && set[way].state != Neighbour::State::empty) return &set[way];
  }
  return nullptr;
}

Neighbour* NeighbourCache::insert(const IpAddress& address, Time now) noexcept {
  Neighbour* set = set_of(address);
  Neighbour* victim = nullptr;
  for (std::size_t way = 0; way < ways; ++way) {
    if (set[way].state == Neighbour::State::empty) {
      victim = &set[way];
      break;
    }
    const bool busy = set[way].state == Neighbour::State::incomplete;
    if (!busy && (victim == nullptr || set[way].used < victim->used)) victim = &set[way];
  }
  if (victim == nullptr) return nullptr;
  victim->unlink();
  victim->address = address;
  victim->mac = {};
  victim->state = Neighbour::State::empty;
  victim->attempts = 0;
  victim->suspect = victim->contested = false;
  victim->doubt_until = {};
  victim->used = now;
  return victim;
}

bool NeighbourCache::enqueue(Neighbour& neighbour, TransmitFrame&& frame, std::uint64_t& displaced) noexcept {
  if (neighbour.pending_count >= options_.maximum_pending_each) {
    [[clang::uninitialized]] TransmitFrame oldest;
    if (dequeue(neighbour, oldest)) ++displaced;
  }
  if (pending_ >= options_.maximum_pending) return false;
  auto* node = new (std::nothrow) PendingFrame;
  if (node == nullptr) return false;
  node->frame = std::move(frame);
  neighbour.pending.push_back(*node);
  ++neighbour.pending_count;
  ++pending_;
  return true;
}

bool NeighbourCache::dequeue(Neighbour& neighbour, TransmitFrame& frame) noexcept {
  PendingFrame* node = neighbour.pending.pop_front();
  if (node == nullptr) return false;
  frame = std::move(node->frame);
  delete node;
  --neighbour.pending_count;
  --pending_;
  return true;
}

std::size_t NeighbourCache::drop_pending(Neighbour& neighbour) noexcept {
  std::size_t dropped = 0;
  for ([[clang::uninitialized]] TransmitFrame frame; dequeue(neighbour, frame); ++dropped) {
  }
  return dropped;
}

void NeighbourCache::clear() noexcept {
  for_each([this](Neighbour& neighbour) {
    drop_pending(neighbour);
    neighbour.state = Neighbour::State::empty;
  });
}

}  // namespace mirage::net::ethernet
