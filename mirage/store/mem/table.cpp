// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include <mirage/store/mem/table.hpp>

namespace mirage::store::mem {

namespace {

/// As bytes, `/` before all others.
int compare(std::string_view a, std::string_view b) noexcept {
  const std::size_t common = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (a[i] == b[i]) continue;
    const unsigned left = a[i] == '/' ? 0U : static_cast<unsigned char>(a[i]);
    const unsigned right = b[i] == '/' ? 0U : static_cast<unsigned char>(b[i]);
    return left < right ? -1 : 1;
  }
  return a.size() < b.size() ? -1 : static_cast<int>(a.size() > b.size());
}

bool is_below(std::string_view key, std::string_view directory) noexcept {
  return directory.empty() ||
         (key.size() > directory.size() && key[directory.size()] == '/' && key.starts_with(directory));
}

}  // namespace

void* Budget::allocate(std::size_t size) noexcept {
  void* memory = size <= bound - used ? std::malloc(size) : nullptr;
  if (memory == nullptr) {
    ++refused;
  } else {
    used += size;
  }
  return memory;
}

void Budget::free(void* memory, std::size_t size) noexcept {
  std::free(memory);
  used -= size;
}

Table::Table(Table&& other) noexcept
    : budget_(other.budget_),
      items_(std::exchange(other.items_, nullptr)),
      count_(std::exchange(other.count_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Table& Table::operator=(Table&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(items_, other.items_);
  std::swap(count_, other.count_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

Result<void, KvError> Table::share(const Table& other) noexcept {
  clear();
  if (other.count_ == 0) return {};
  const std::size_t room = other.count_ + other.count_ / 2;
  auto* items = static_cast<Entry**>(budget_->allocate(room * sizeof(Entry*)));
  if (items == nullptr) return Failure{KvError::no_memory};
  std::copy_n(other.items_, other.count_, items);
  for (std::size_t i = 0; i < other.count_; ++i) ++items[i]->references;
  items_ = items;
  count_ = other.count_;
  capacity_ = room;
  return {};
}

void Table::clear() noexcept {
  erase(0, count_);
  if (items_ != nullptr) budget_->free(items_, capacity_ * sizeof(Entry*));
  items_ = nullptr;
  capacity_ = 0;
}

std::size_t Table::lower_bound(std::string_view key) const noexcept {
  const auto before = [key](const Entry* entry) noexcept { return compare(entry->key(), key) < 0; };
  return static_cast<std::size_t>(std::partition_point(items_, items_ + count_, before) - items_);
}

std::size_t Table::end_of_directory(std::string_view key, std::size_t at) const noexcept {
  const auto within = [key](const Entry* entry) noexcept { return is_below(entry->key(), key); };
  return static_cast<std::size_t>(std::partition_point(items_ + at, items_ + count_, within) - items_);
}

bool Table::holds(std::size_t at, std::string_view key) const noexcept {
  return at < count_ && items_[at]->key() == key;
}

const Entry* Table::find(std::string_view key) const noexcept {
  const std::size_t at = lower_bound(key);
  return holds(at, key) ? items_[at] : nullptr;
}

Result<const Entry*, KvError> Table::value(std::string_view key) const noexcept {
  if (!valid_key(key)) return Failure{KvError::invalid_key};
  if (const Entry* entry = find(key)) return entry;
  return Failure{kind(key) == KvKind::directory ? KvError::not_a_value : KvError::not_found};
}

KvKind Table::kind(std::string_view key) const noexcept {
  if (key.empty()) return KvKind::directory;
  const std::size_t at = lower_bound(key);
  if (holds(at, key)) return KvKind::value;
  return at < count_ && is_below(items_[at]->key(), key) ? KvKind::directory : KvKind::absent;
}

Result<KvPage, KvError> Table::list(BufferPool& pool, std::string_view directory, std::string_view after,
                                    std::size_t maximum) const noexcept {
  if (!valid_key(directory)) return Failure{KvError::invalid_key};
  const KvKind found = kind(directory);
  if (found == KvKind::absent) return Failure{KvError::not_found};
  if (found == KvKind::value) return Failure{KvError::not_a_directory};
  KvPage page{pool};
  if (!page) return Failure{KvError::no_memory};
  const std::size_t prefix = directory.empty() ? 0 : directory.size() + 1;
  const auto rest = [&](std::size_t i) noexcept { return items_[i]->key().substr(prefix); };
  const auto name = [&](std::size_t i) noexcept { return rest(i).substr(0, rest(i).find('/')); };
  std::size_t at = lower_bound(directory);
  const std::size_t end = end_of_directory(directory, at);
  // What follows `after`: neither names before or equal to it, nor what is below it.
  const auto passed = [&](const Entry* entry) noexcept {
    const std::string_view own = entry->key().substr(prefix);
    return own.substr(0, own.find('/')) <= after;
  };
  if (!after.empty()) at = static_cast<std::size_t>(std::partition_point(items_ + at, items_ + end, passed) - items_);
  while (at < end) {
    const bool is_value = rest(at).size() == name(at).size();
    const KvEntry entry{.name = name(at),
                        .kind = is_value ? KvKind::value : KvKind::directory,
                        .size = is_value ? items_[at]->size : 0};
    if (page.size() == maximum || !page.push(entry)) {
      page.set_more();
      break;
    }
    at = is_value ? at + 1 : end_of_directory(items_[at]->key().substr(0, prefix + entry.name.size()), at);
  }
  return page;
}

Result<void, KvError> Table::apply(const KvChange& change) noexcept {
  if (!valid_key(change.key)) return Failure{KvError::invalid_key};
  switch (change.kind) {
    case KvChange::Kind::set:
      return set(change.key, 0, change.value, false);
    case KvChange::Kind::set_partial:
      return set(change.key, change.offset, change.value, true);
    case KvChange::Kind::resize:
      return resize(change.key, change.offset);
    case KvChange::Kind::remove:
      return remove(change.key);
    case KvChange::Kind::rename:
      return rename(change.key, change.to);
  }
  return Failure{KvError::unsupported};
}

Result<void, KvError> Table::check_place(std::string_view key) const noexcept {
  if (kind(key) == KvKind::directory) return Failure{KvError::not_a_value};
  for (std::size_t slash = key.find('/'); slash != std::string_view::npos; slash = key.find('/', slash + 1)) {
    if (find(key.substr(0, slash)) != nullptr) return Failure{KvError::not_a_directory};
  }
  return {};
}

Entry* Table::make(std::string_view key, std::size_t capacity) noexcept {
  const std::size_t fixed = sizeof(Entry) + key.size();
  if (capacity > budget_->bound) {
    ++budget_->refused;
    return nullptr;
  }
  void* memory = budget_->allocate(fixed + capacity);
  if (memory == nullptr) return nullptr;
  auto* entry = new (memory) Entry;
  entry->key_size = static_cast<std::uint32_t>(key.size());
  entry->capacity = capacity;
  std::memcpy(entry->text(), key.data(), key.size());
  return entry;
}

void Table::release(Entry* entry) noexcept {
  if (--entry->references == 0) budget_->free(entry, sizeof(Entry) + entry->key_size + entry->capacity);
}

bool Table::insert(std::size_t at, Entry* entry) noexcept {
  if (count_ == capacity_) {
    const std::size_t room = capacity_ + capacity_ / 2 + 16;
    auto* items = static_cast<Entry**>(budget_->allocate(room * sizeof(Entry*)));
    if (items == nullptr) return false;
    std::copy_n(items_, count_, items);
    if (items_ != nullptr) budget_->free(items_, capacity_ * sizeof(Entry*));
    items_ = items;
    capacity_ = room;
  }
  std::copy_backward(items_ + at, items_ + count_, items_ + count_ + 1);
  items_[at] = entry;
  ++count_;
  return true;
}

void Table::erase(std::size_t first, std::size_t last) noexcept {
  for (std::size_t i = first; i < last; ++i) release(items_[i]);
  std::copy(items_ + last, items_ + count_, items_ + first);
  count_ -= last - first;
}

Result<Entry*, KvError> Table::open(std::string_view key, std::size_t size, bool keep) noexcept {
  MIRAGE_CHECK(check_place(key));
  const std::size_t at = lower_bound(key);
  Entry* old = holds(at, key) ? items_[at] : nullptr;
  if (old == nullptr || old->references != 1 || old->capacity < size) {
    // A value that grows by parts is not copied for each of them.
    const bool grows = keep && old != nullptr && old->capacity < size;
    Entry* fresh = make(key, grows ? size + size / 2 : size);
    if (fresh == nullptr && grows) fresh = make(key, size);
    if (fresh == nullptr) return Failure{KvError::no_space};
    if (keep && old != nullptr) {
      fresh->size = std::min(old->size, size);
      std::memcpy(fresh->data(), old->data(), fresh->size);
    }
    if (old == nullptr && !insert(at, fresh)) {
      release(fresh);
      return Failure{KvError::no_space};
    }
    if (old != nullptr) release(old);
    items_[at] = fresh;
  }
  Entry* entry = items_[at];
  if (entry->size < size) std::memset(entry->data() + entry->size, 0, size - entry->size);
  entry->size = size;
  entry->version = ++budget_->version;
  entry->modified = budget_->now;
  return entry;
}

Result<void, KvError> Table::set(std::string_view key, std::uint64_t offset, Bytes bytes, bool keep) noexcept {
  std::size_t size = bytes.size();
  if (keep) {
    const Entry* old = find(key);
    const std::size_t old_size = old == nullptr ? 0 : old->size;
    if (old == nullptr) MIRAGE_CHECK(check_place(key));
    if (offset > old_size) return Failure{KvError::out_of_range};
    size = std::max(old_size, static_cast<std::size_t>(offset) + size);
  }
  MIRAGE_TRY(Entry * entry, open(key, size, keep));
  if (!bytes.empty()) std::memcpy(entry->data() + offset, bytes.data(), bytes.size());
  return {};
}

Result<void, KvError> Table::resize(std::string_view key, std::uint64_t size) noexcept {
  if (size > budget_->bound) return Failure{KvError::no_space};
  return open(key, size, true).transform([](Entry*) noexcept {});
}

Result<void, KvError> Table::remove(std::string_view key) noexcept {
  const std::size_t at = lower_bound(key);
  const std::size_t end = holds(at, key) ? at + 1 : end_of_directory(key, at);
  if (end == at && !key.empty()) return Failure{KvError::not_found};
  erase(at, end);
  return {};
}

Result<void, KvError> Table::rename(std::string_view from, std::string_view to) noexcept {
  if (!valid_key(to)) return Failure{KvError::invalid_key};
  MIRAGE_TRY(const Entry* old, value(from));
  if (from == to) return {};
  MIRAGE_CHECK(check_place(to));
  Entry* moved = make(to, old->size);
  if (moved == nullptr) return Failure{KvError::no_space};
  std::memcpy(moved->data(), old->value().data(), old->size);
  moved->size = old->size;
  moved->version = ++budget_->version;
  moved->modified = old->modified;
  const std::size_t at = lower_bound(to);
  if (holds(at, to)) {
    release(std::exchange(items_[at], moved));
  } else if (!insert(at, moved)) {
    release(moved);
    return Failure{KvError::no_space};
  }
  return remove(from);
}

}  // namespace mirage::store::mem
