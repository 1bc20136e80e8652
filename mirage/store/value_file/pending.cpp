// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <new>

#include <mirage/store/value_file/pending.hpp>

namespace mirage::store::value_file {

bool Pending::allocate() noexcept {
  if (memory_ != nullptr) return true;
  memory_.reset(new (std::nothrow) std::byte[(capacity + 1) * page_size]);
  clear();
  return memory_ != nullptr;
}

void Pending::clear() noexcept {
  count_ = 0;
  for (std::uint32_t i = 0; i < capacity; ++i) pages_[i].slot = i;
}

std::size_t Pending::position(std::uint32_t file, std::uint64_t index) const noexcept {
  const auto found = std::ranges::partition_point(
      pages(), [file, index](const Page& page) noexcept { return page.precedes(file, index); });
  return static_cast<std::size_t>(found - pages().begin());
}

MutableBytes Pending::find(std::uint32_t file, std::uint64_t index) const noexcept {
  const std::size_t at = position(file, index);
  if (at == count_ || pages_[at].file != file || pages_[at].index != index) return {};
  return bytes(pages_[at]);
}

std::optional<std::uint64_t> Pending::next(std::uint32_t file, std::uint64_t index) const noexcept {
  const std::size_t at = position(file, index);
  if (at == count_ || pages_[at].file != file) return std::nullopt;
  return pages_[at].index;
}

MutableBytes Pending::add(std::uint32_t file, std::uint64_t index) noexcept {
  const auto at = static_cast<std::ptrdiff_t>(position(file, index));
  const auto end = static_cast<std::ptrdiff_t>(count_);
  // The first free one comes to its place, those behind move on by one.
  std::rotate(pages_.begin() + at, pages_.begin() + end, pages_.begin() + end + 1);
  Page& page = pages_[static_cast<std::size_t>(at)];
  page.file = file;
  page.index = index;
  ++count_;
  return bytes(page);
}

void Pending::erase(std::size_t first, std::size_t end) noexcept {
  const auto begin = pages_.begin();
  std::rotate(begin + static_cast<std::ptrdiff_t>(first), begin + static_cast<std::ptrdiff_t>(end),
              begin + static_cast<std::ptrdiff_t>(count_));
  count_ -= end - first;
}

void Pending::cut(std::uint32_t file, std::uint64_t index) noexcept {
  erase(position(file, index), position(file + 1, 0));
}

void Pending::remove(std::uint32_t file, std::uint64_t index) noexcept {
  const std::size_t at = position(file, index);
  erase(at, at + 1);
}

void Pending::arrange() noexcept {
  std::array<std::uint32_t, capacity> owners;  // which page is in a slot
  for (std::uint32_t i = 0; i < capacity; ++i) owners[pages_[i].slot] = i;
  std::byte* spare = memory_.get() + capacity * page_size;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const std::uint32_t slot = pages_[i].slot;
    if (slot == i) continue;
    const std::uint32_t other = owners[i];
    std::byte* here = memory_.get() + i * page_size;
    std::byte* there = memory_.get() + slot * page_size;
    std::memcpy(spare, here, page_size);
    std::memcpy(here, there, page_size);
    std::memcpy(there, spare, page_size);
    pages_[other].slot = slot;
    owners[slot] = other;
    pages_[i].slot = owners[i] = i;
  }
}

}  // namespace mirage::store::value_file
