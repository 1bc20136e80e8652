// SPDX-License-Identifier: ISC
// Answers by question until their time is over. Bounded in entries and in bytes; what was not used for longest goes
// first.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include <mirage/dns/answer.hpp>

namespace mirage::dns {

class Cache {
 public:
  static constexpr std::size_t capacity = 128;
  static constexpr std::size_t maximum_bytes = std::size_t{64} << 10;  ///< names and answers together
  static constexpr std::size_t maximum_entry = 4096;                   ///< a longer answer is not kept

  /// A copy; records in a block of the pool (no_memory when it has none).
  [[nodiscard]] std::optional<Answer> find(const wire::DnsQuestion& question, Time now, BufferPool& pool) noexcept;
  /// Keeps the answer for its time to live. How many entries had to go before theirs.
  unsigned insert(const wire::DnsQuestion& question, const Answer& answer, Time now) noexcept;
  void clear() noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  struct Entry {
    std::unique_ptr<std::byte[]> memory;  ///< the name in lower case, then the records or the alias; null: free
    Time expires{};
    std::uint64_t used = 0;  ///< when, by count of uses
    std::uint16_t type = 0;
    std::uint16_t name_size = 0;
    std::uint16_t data_size = 0;
    Answer::Kind kind{};
    ResolveError error{};
    [[nodiscard]] Bytes name() const noexcept { return {memory.get(), name_size}; }
    [[nodiscard]] Bytes data() const noexcept { return {memory.get() + name_size, data_size}; }
  };
  [[nodiscard]] Entry* find_entry(const wire::DnsQuestion& question) noexcept;
  [[nodiscard]] Entry& victim(Time now, bool free_too) noexcept;
  void free(Entry& entry) noexcept;
  [[nodiscard]] static Answer answer_of(const Entry& entry, Time now, BufferPool& pool) noexcept;
  std::array<Entry, capacity> entries_{};
  std::size_t bytes_ = 0;
  std::uint64_t uses_ = 0;
};

}  // namespace mirage::dns
