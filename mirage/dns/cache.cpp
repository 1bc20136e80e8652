// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/dns/cache.hpp>

namespace mirage::dns {

using wire::DnsName;
using wire::DnsQuestion;

namespace {

Bytes bytes_of(const DnsName& name) noexcept { return std::as_bytes(name.octets()); }

/// What an entry keeps beside the name.
Bytes kept_of(const Answer& answer) noexcept {
  if (answer.kind == Answer::Kind::records) return answer.records.bytes();
  return answer.kind == Answer::Kind::alias ? bytes_of(answer.alias) : Bytes{};
}

}  // namespace

Cache::Entry* Cache::find_entry(const DnsQuestion& question) noexcept {
  const DnsName name = question.name.lower();
  for (Entry& entry : entries_) {
    // RFC 2308 5: that there is no such name answers for every type.
    const bool matches = entry.type == question.type || entry.error == ResolveError::not_found;
    if (entry.memory && matches && std::ranges::equal(entry.name(), bytes_of(name))) return &entry;
  }
  return nullptr;
}

std::optional<Answer> Cache::find(const DnsQuestion& question, Time now, BufferPool& pool) noexcept {
  Entry* entry = find_entry(question);
  if (entry == nullptr) return std::nullopt;
  if (entry->expires <= now) {
    free(*entry);
    return std::nullopt;
  }
  entry->used = ++uses_;
  return answer_of(*entry, now, pool);
}

Answer Cache::answer_of(const Entry& entry, Time now, BufferPool& pool) noexcept {
  Answer answer = Answer::failure(entry.error, entry.expires - now);
  answer.kind = entry.kind;
  if (entry.kind == Answer::Kind::records) {
    answer.records = pool.copy(entry.data());
    if (answer.records.empty()) return Answer::no_memory();
  } else if (entry.kind == Answer::Kind::alias) {
    std::size_t at = 0;
    answer.alias = DnsName::read(entry.data(), at).value_or(DnsName{});
  }
  return answer;
}

unsigned Cache::insert(const DnsQuestion& question, const Answer& answer, Time now) noexcept {
  const Bytes kept = kept_of(answer);
  if (answer.ttl <= Duration{} || kept.size() > maximum_entry) return 0;
  if (Entry* old = find_entry(question)) free(*old);
  const DnsName name = question.name.lower();
  const std::size_t size = name.size() + kept.size();
  unsigned evicted = 0;
  while (bytes_ + size > maximum_bytes) {
    Entry& oldest = victim(now, false);
    evicted += oldest.expires > now ? 1 : 0;
    free(oldest);
  }
  Entry& entry = victim(now, true);
  if (entry.memory) {
    evicted += entry.expires > now ? 1 : 0;
    free(entry);
  }
  entry.memory.reset(new (std::nothrow) std::byte[size]);
  if (!entry.memory) return evicted;  // nothing is cached: the answer itself is fine
  std::ranges::copy(bytes_of(name), entry.memory.get());
  std::ranges::copy(kept, entry.memory.get() + name.size());
  entry.expires = after(now, answer.ttl);
  entry.used = ++uses_;
  entry.type = question.type;
  entry.name_size = static_cast<std::uint16_t>(name.size());
  entry.data_size = static_cast<std::uint16_t>(kept.size());
  entry.kind = answer.kind;
  entry.error = answer.error;
  bytes_ += size;
  return evicted;
}

/// An entry whose time is over, else the one that was not used for longest; before both a free one if `free_too`.
Cache::Entry& Cache::victim(Time now, bool free_too) noexcept {
  const auto rank = [now, free_too](const Entry& entry) -> std::uint64_t {
    if (!entry.memory) return free_too ? 0 : UINT64_MAX;
    return entry.expires <= now ? 1 : 2 + entry.used;
  };
  return *std::ranges::min_element(entries_, {}, rank);
}

void Cache::free(Entry& entry) noexcept {
  bytes_ -= std::size_t{entry.name_size} + entry.data_size;
  entry = {};
}

void Cache::clear() noexcept {
  for (Entry& entry : entries_) free(entry);
}

std::size_t Cache::size() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(entries_, [](const Entry& e) { return e.memory != nullptr; }));
}

}  // namespace mirage::dns
