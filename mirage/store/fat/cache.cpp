// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/store/fat/cache.hpp>

namespace mirage::store::fat {

bool Cache::create(std::uint32_t sector_size) noexcept {
  count_ = std::max<std::size_t>(16, memory_size / sector_size);
  memory_.reset(new (std::nothrow) std::byte[count_ * sector_size]);
  slots_.reset(new (std::nothrow) Slot[count_]);
  if (!memory_ || !slots_) return false;
  for (std::size_t i = 0; i < count_; ++i) slots_[i].bytes = {memory_.get() + i * sector_size, sector_size};
  dirty_ = last_ = 0;
  return true;
}

Cache::Slot* Cache::find(std::uint32_t sector) noexcept {
  const auto all = slots();
  if (all[last_].sector != sector) {
    const auto at = std::ranges::find(all, sector, &Slot::sector);
    if (at == all.end()) return nullptr;
    last_ = static_cast<std::size_t>(at - all.begin());
  }
  all[last_].used = ++clock_;
  return &all[last_];
}

Cache::Slot& Cache::victim() noexcept {
  Slot* oldest = nullptr;
  for (Slot& slot : slots()) {
    if (!slot.dirty && (oldest == nullptr || slot.used < oldest->used)) oldest = &slot;
  }
  oldest->sector = Slot::none;
  oldest->used = ++clock_;
  return *oldest;
}

void Cache::drop_changes() noexcept {
  for (Slot& slot : slots()) {
    if (slot.dirty) slot.sector = Slot::none;
    clean(slot);
  }
}

}  // namespace mirage::store::fat
