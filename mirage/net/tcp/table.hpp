// SPDX-License-Identifier: ISC
// Connections by their four-tuple: chained hash table keyed by SipHash (a peer cannot aim at one bucket), growing by
// doubling up to what maximum_connections asks for.
#pragma once

#include <cstdint>
#include <memory>

#include <mirage/base/random.hpp>
#include <mirage/net/tcp/connection.hpp>

namespace mirage::net::tcp {

/// A keyed hash of both endpoints; `salt` separates its uses (table, ISN, ports).
[[nodiscard]] std::uint64_t tuple_hash(const SipKey& key, const Endpoint& local, const Endpoint& remote,
                                       std::uint64_t salt) noexcept;

class ConnectionTable {
 public:
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
      for (Connection* c = heads_[i]; c != nullptr; c = c->next_in_bucket) visitor(*c);
    }
  }
  /// Some connection, or null when empty.
  [[nodiscard]] Connection* any() noexcept;

 private:
  [[nodiscard]] Connection*& head(const Endpoint& local, const Endpoint& remote) noexcept;
  bool grow() noexcept;
  SipKey key_{};
  std::unique_ptr<Connection*[]> heads_;  // NOLINT: sized at run time
  std::uint32_t buckets_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace mirage::net::tcp
