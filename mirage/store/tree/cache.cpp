// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <ranges>

#include <mirage/store/tree/cache.hpp>

namespace mirage::store::tree {

bool Cache::create(std::size_t frames) noexcept {
  frames = std::max(frames, minimum_frames);
  const std::size_t buckets = std::bit_ceil(frames);
  shift_ = 32U - static_cast<unsigned>(std::countr_zero(buckets));
  // Aligned as disks want it that are read and written without a copy (BlockGeometry::alignment).
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(page_size, frames * page_size)));
  return memory_ != nullptr && frames_.assign(frames, Frame{}) && buckets_.assign(buckets, none) &&
         dirty_.reserve(frames);
}

Cache::Index Cache::step_hand() noexcept {
  const Index index = hand_;
  hand_ = hand_ + 1 == frames_.size() ? 0 : hand_ + 1;
  return index;
}

bool Cache::admits_data() noexcept {
  if (count_ < frames_.size()) return true;
  Frame& frame = frames_[hand_];
  if (is_idle(frame) && frame.chances == 0) return true;  // take() comes to it first
  if (is_idle(frame)) --frame.chances;
  (void)step_hand();
  return false;
}

Cache::Index Cache::take() noexcept {
  // So many rounds take every chance away.
  for (std::size_t tries = (branch_chances + 1) * frames_.size() + 1; tries > 0; --tries) {
    const Index index = step_hand();
    Frame& frame = frames_[index];
    if (!is_idle(frame)) continue;
    if (frame.page != 0 && frame.chances != 0) {
      --frame.chances;
      continue;
    }
    if (frame.page != 0) unlink(index);
    frame.page = 0;
    frame.taken = true;
    return index;
  }
  return none;
}

void Cache::insert(Index index, std::uint32_t page) noexcept {
  Frame& frame = frames_[index];
  ++count_;
  frame.page = page;
  frame.taken = false;
  frame.chances = leaf_chances;
  frame.step = step_;
  frame.sum = 0;
  frame.sealed = false;
  frame.next = buckets_[bucket(page)];
  buckets_[bucket(page)] = index;
}

void Cache::release(Index index) noexcept { frames_[index].taken = false; }

void Cache::unlink(Index index) noexcept {
  Index* link = &buckets_[bucket(frames_[index].page)];
  while (*link != index) link = &frames_[*link].next;
  *link = frames_[index].next;
  --count_;
}

void Cache::forget(Index index) noexcept {
  Frame& frame = frames_[index];
  unlink(index);
  frame.page = 0;
  frame.chances = 0;
  if (frame.dirty) --dirty_count_;
  frame.dirty = false;
}

void Cache::drop(std::uint32_t page) noexcept {
  for (const std::uint32_t key : {page, page | data_bit}) {
    for (Index i = buckets_[bucket(key)]; i != none; i = frames_[i].next) {
      if (frames_[i].page != key) continue;
      forget(i);
      break;
    }
  }
}

bool Cache::is_busy(std::uint32_t page) const noexcept {
  for (Index i = buckets_[bucket(page)]; i != none; i = frames_[i].next) {
    if (frames_[i].page == page) return frames_[i].dirty || frames_[i].step == step_;
  }
  return false;
}

bool Cache::set_dirty(Index index) noexcept {
  Frame& frame = frames_[index];
  if (!frame.listed && !dirty_.push_back(index)) return false;
  frame.listed = true;
  frame.sum = 0;
  frame.sealed = false;
  if (!frame.dirty) ++dirty_count_;
  frame.dirty = true;
  return true;
}

std::span<const Cache::Index> Cache::sort_dirty(Which which) noexcept {
  std::size_t kept = 0;
  for (const Index index : dirty_) {
    frames_[index].listed = frames_[index].dirty;
    if (frames_[index].dirty) dirty_[kept++] = index;
  }
  dirty_.resize_down(kept);
  std::span<Index> chosen = dirty_.span();
  if (which == Which::leaves) {
    const auto branches = std::ranges::partition(chosen, [this](Index index) { return node(index).level() == 0; });
    const std::size_t leaves = chosen.size() - branches.size();
    if (leaves * 4 >= chosen.size()) chosen = chosen.first(leaves);
  }
  std::ranges::sort(chosen, {}, [this](Index index) noexcept { return frames_[index].page; });
  return chosen;
}

void Cache::clear_dirty(std::size_t count) noexcept {
  for (const Index index : dirty_.span().first(count)) frames_[index].dirty = frames_[index].listed = false;
  std::ranges::copy(dirty_.span().subspan(count), dirty_.begin());
  dirty_.resize_down(dirty_.size() - count);
  dirty_count_ -= count;
}

void Cache::drop_dirty() noexcept {
  for (const Index index : dirty_) {
    frames_[index].listed = false;
    if (frames_[index].dirty) forget(index);
  }
  dirty_.clear();
}

}  // namespace mirage::store::tree
