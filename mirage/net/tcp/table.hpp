// SPDX-License-Identifier: ISC
// Connections by their four-tuple: chained hash table keyed by SipHash (a peer cannot aim at one bucket). It grows by
// one bucket for each connection (linear hashing, Litwin 1980), in segments that never move: no operation takes longer
// because there are many connections.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <mirage/base/random.hpp>
#include <mirage/net/tcp/connection.hpp>

namespace mirage::net::tcp {

/// A keyed hash of both endpoints; `salt` separates its uses (ISN, ports, timestamps).
[[nodiscard]] std::uint64_t tuple_hash(const SipKey& key, const Endpoint& local, const Endpoint& remote,
                                       std::uint64_t salt) noexcept;

class ConnectionTable {
 public:
  /// For about `connections`; with more of them chains grow longer.
  explicit ConnectionTable(std::uint32_t connections) noexcept : bound_(connections / segment_buckets + 1) {}
  void set_key(const SipKey& key) noexcept { key_ = key; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] Connection* find(const Endpoint& local, const Endpoint& remote) noexcept;
  /// False without memory for the first buckets. Precondition: the tuple is not in the table.
  [[nodiscard]] bool insert(Connection& connection) noexcept;
  void remove(Connection& connection) noexcept;
  /// Calls `visitor` with each connection; it may not insert or remove.
  template <class Visitor>
  void each(Visitor&& visitor) {
    for (std::uint32_t i = 0; i < buckets_; ++i) {
      for (Connection* c = bucket(i); c != nullptr; c = c->next_in_bucket) visitor(*c);
    }
  }
  /// Some connection, or null when empty. `from` begins at 0 and remembers how far the search came: with the same one
  /// again and again, and nothing inserted meanwhile, all of them take O(n).
  [[nodiscard]] Connection* any(std::uint32_t& from) noexcept;

 private:
  static constexpr std::uint32_t segment_buckets = 128;
  using Segment = std::array<Connection*, segment_buckets>;

  [[nodiscard]] Connection*& bucket(std::uint32_t index) noexcept {
    return (*segments_[index / segment_buckets])[index % segment_buckets];
  }
  [[nodiscard]] std::uint32_t hash_of(const Endpoint& local, const Endpoint& remote) const noexcept;
  [[nodiscard]] std::uint32_t index_of(std::uint32_t hash) const noexcept;
  [[nodiscard]] bool begin() noexcept;
  [[nodiscard]] bool add_segment(std::uint32_t index) noexcept;
  void split() noexcept;

  SipKey key_{};
  std::uint32_t bound_;                                   ///< segments
  std::unique_ptr<std::unique_ptr<Segment>[]> segments_;  // NOLINT: sized at run time
  std::uint32_t buckets_ = 0;                             ///< in use
  std::uint32_t size_ = 0;
};

}  // namespace mirage::net::tcp
