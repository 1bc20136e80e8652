// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <mirage/store/tar/index.hpp>

namespace mirage::store::tar {

namespace {

/// A slash comes before everything else that a key can hold.
constexpr unsigned weight(char c) noexcept { return c == '/' ? 0U : static_cast<unsigned char>(c); }

/// Whether `key` is below `directory` ("" is above everything).
bool below(std::string_view key, std::string_view directory) noexcept {
  if (directory.empty()) return !key.empty();
  return key.size() > directory.size() + 1 && key.starts_with(directory) && key[directory.size()] == '/';
}

}  // namespace

std::strong_ordering compare_keys(std::string_view a, std::string_view b) noexcept {
  return std::lexicographical_compare_three_way(a.begin(), a.end(), b.begin(), b.end(),
                                                [](char x, char y) { return weight(x) <=> weight(y); });
}

Index::Names::~Names() {
  // One after the other: a chain of destructors would take stack for each.
  while (next) next = std::exchange(next->next, nullptr);
}

const char* Index::keep(std::string_view key) noexcept {
  if (!names_ || Names::capacity - names_->used < key.size()) {
    std::unique_ptr<Names> fresh{new (std::nothrow) Names};
    if (!fresh) return nullptr;
    fresh->next = std::move(names_);
    names_ = std::move(fresh);
  }
  char* at = names_->text + names_->used;
  std::ranges::copy(key, at);
  names_->used += key.size();
  name_bytes_ += key.size();
  return at;
}

/// Without what later members have replaced; their names, too. What the blocks of names hold may not move before all
/// of it has a new place.
bool Index::compact() noexcept {
  finish();
  std::unique_ptr<Names> old = std::move(names_);
  const std::size_t before = std::exchange(name_bytes_, 0);
  has_waste_ = false;
  for (Entry& entry : std::span{entries_.get(), count_}) {
    const char* const name = keep(entry.key());
    if (name == nullptr) {
      name_bytes_ += before;
      std::unique_ptr<Names>* last = &names_;
      while (*last) last = &(*last)->next;
      *last = std::move(old);
      has_waste_ = true;
      return false;
    }
    entry.name = name;
  }
  return true;
}

Index::Outcome Index::make_room(std::string_view key) noexcept {
  if (!is_full(key)) return Outcome::added;
  if (sorted_ == count_ && !has_waste_) return Outcome::full;
  if (!compact()) return Outcome::no_memory;
  return is_full(key) ? Outcome::full : Outcome::added;
}

Index::Outcome Index::reserve(std::string_view key) noexcept {
  if (find(key) != nullptr) return Outcome::added;
  // The name that waits is of a member that could not be written: this one takes its place.
  has_waste_ = std::exchange(waits_, false) || has_waste_;
  Outcome outcome = make_room(key);
  if (outcome == Outcome::added) outcome = append(key);
  waits_ = outcome == Outcome::added;
  return outcome;
}

Index::Outcome Index::append(std::string_view key) noexcept {
  if (count_ == capacity_) {
    const std::size_t wanted = std::max<std::size_t>(64, capacity_ * 2);
    std::unique_ptr<Entry[]> grown{new (std::nothrow) Entry[wanted]};
    if (!grown) return Outcome::no_memory;
    std::copy_n(entries_.get(), count_, grown.get());
    entries_ = std::move(grown);
    capacity_ = wanted;
  }
  const char* name = keep(key);
  if (name == nullptr) return Outcome::no_memory;
  // The name waits in the first free entry; taking it up again is all that is left to do.
  entries_[count_] = {.name = name, .name_size = static_cast<std::uint32_t>(key.size())};
  return Outcome::added;
}

/// The entry of this key among those that are sorted.
Index::Entry* Index::known(std::string_view key) noexcept {
  const std::size_t at = lower_bound(key);
  return at < sorted_ && entries_[at].key() == key ? &entries_[at] : nullptr;
}

void Index::describe(Entry& entry, const Member& member) noexcept {
  entry.directory = member.kind == Member::Kind::directory;
  entry.offset = member.offset;
  entry.size = member.size;
  entry.mtime = member.mtime;
}

Index::Outcome Index::add(std::string_view key, const Member& member) noexcept {
  Entry* entry = known(key);
  if (entry == nullptr) {
    const Outcome room = make_room(key);
    if (room == Outcome::no_memory) return room;
    entry = known(key);  // making room may have sorted it in
    if (entry == nullptr) {
      const Outcome outcome = room == Outcome::added ? append(key) : room;
      if (outcome != Outcome::added) return outcome;
      entry = &entries_[count_++];
    }
  }
  describe(*entry, member);
  return Outcome::added;
}

void Index::finish() noexcept {
  const std::span<Entry> all{entries_.get(), count_};
  std::ranges::sort(all, [](const Entry& a, const Entry& b) {
    const auto order = compare_keys(a.key(), b.key());
    return order == 0 ? a.offset < b.offset : order < 0;  // offsets tell what came first
  });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    if (i + 1 < count_ && entries_[i].key() == entries_[i + 1].key()) continue;
    entries_[kept++] = entries_[i];
  }
  has_waste_ = has_waste_ || kept != count_;
  count_ = sorted_ = kept;
}

std::size_t Index::lower_bound(std::string_view key) const noexcept {
  const std::span<const Entry> all{entries_.get(), sorted_};
  const auto at =
      std::ranges::lower_bound(all, key, [](auto a, auto b) { return compare_keys(a, b) < 0; }, &Entry::key);
  return static_cast<std::size_t>(at - all.begin());
}

void Index::insert(std::string_view key, const Member& member) noexcept {
  if (Entry* const there = known(key); there != nullptr) return describe(*there, member);
  Entry entry = entries_[count_];
  describe(entry, member);
  const std::size_t at = lower_bound(key);
  std::copy_backward(entries_.get() + at, entries_.get() + count_, entries_.get() + count_ + 1);
  sorted_ = ++count_;
  entries_[at] = entry;
  waits_ = false;
}

const Index::Entry* Index::find(std::string_view key) const noexcept {
  const std::size_t at = lower_bound(key);
  return at < count_ && entries_[at].key() == key ? &entries_[at] : nullptr;
}

KvKind Index::kind_of(std::string_view key) const noexcept {
  if (key.empty()) return KvKind::directory;
  const std::size_t at = lower_bound(key);
  if (at == count_) return KvKind::absent;
  if (entries_[at].key() == key) return entries_[at].directory ? KvKind::directory : KvKind::value;
  return below(entries_[at].key(), key) ? KvKind::directory : KvKind::absent;
}

void Index::list(std::string_view directory, std::string_view after, std::size_t maximum, KvPage& page) const noexcept {
  const std::size_t skipped = directory.empty() ? 0 : directory.size() + 1;
  // Behind the directory itself, and behind everything whose first part below it is `after` or comes before that.
  const std::span<const Entry> all{entries_.get(), count_};
  const auto before = [&](const Entry& entry) {
    if (!below(entry.key(), directory)) return compare_keys(entry.key(), directory) <= 0;
    const std::string_view rest = entry.key().substr(skipped);
    return rest.substr(0, rest.find('/')) <= after;
  };
  auto at = std::ranges::partition_point(all, before);
  while (at != all.end() && below(at->key(), directory)) {
    const std::string_view rest = at->key().substr(skipped);
    const std::string_view name = rest.substr(0, rest.find('/'));
    const bool value = name.size() == rest.size() && !at->directory;
    if (page.size() == maximum || !page.push({name, value ? KvKind::value : KvKind::directory, value ? at->size : 0})) {
      return page.set_more();
    }
    const auto same = [&](const Entry& entry) {
      if (!below(entry.key(), directory)) return false;
      const std::string_view other = entry.key().substr(skipped);
      return other.substr(0, other.find('/')) == name;
    };
    at = std::partition_point(at, all.end(), same);
  }
}

}  // namespace mirage::store::tar
