// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/net/tcp/table.hpp>

namespace mirage::net::tcp {

std::uint64_t tuple_hash(const SipKey& key, const Endpoint& local, const Endpoint& remote,
                         std::uint64_t salt) noexcept {
  std::array<std::byte, 2 * 20 + 8> message{};
  std::size_t at = 0;
  for (const Endpoint* endpoint : {&local, &remote}) {
    for (const std::uint8_t octet : endpoint->address.octets) message[at++] = static_cast<std::byte>(octet);
    store_big(MutableBytes(message), at, endpoint->port);
    store_big(MutableBytes(message), at + 2, endpoint->zone);
    at += 4;
  }
  store_big(MutableBytes(message), at, salt);
  return siphash(key, message);
}

Connection*& ConnectionTable::head(const Endpoint& local, const Endpoint& remote) noexcept {
  return heads_[tuple_hash(key_, local, remote, 0) & (buckets_ - 1)];
}

Connection* ConnectionTable::find(const Endpoint& local, const Endpoint& remote) noexcept {
  if (size_ == 0) return nullptr;
  Connection* connection = head(local, remote);
  while (connection != nullptr && (connection->tcb.remote != remote || connection->tcb.local != local)) {
    connection = connection->next_in_bucket;
  }
  return connection;
}

bool ConnectionTable::grow() noexcept {
  const std::uint32_t buckets = buckets_ == 0 ? 64 : 2 * buckets_;
  std::unique_ptr<Connection*[]> heads{new (std::nothrow) Connection* [buckets] {}};  // NOLINT
  if (heads == nullptr) return buckets_ != 0;  // longer chains are better than refusing
  std::swap(heads_, heads);
  const std::uint32_t before = std::exchange(buckets_, buckets);
  for (std::uint32_t i = 0; i < before; ++i) {
    while (Connection* connection = heads[i]) {
      heads[i] = connection->next_in_bucket;
      Connection*& place = head(connection->tcb.local, connection->tcb.remote);
      connection->next_in_bucket = std::exchange(place, connection);
    }
  }
  return true;
}

bool ConnectionTable::insert(Connection& connection) noexcept {
  if (size_ >= buckets_ && !grow()) return false;
  Connection*& place = head(connection.tcb.local, connection.tcb.remote);
  connection.next_in_bucket = std::exchange(place, &connection);
  ++size_;
  return true;
}

void ConnectionTable::remove(Connection& connection) noexcept {
  Connection** link = &head(connection.tcb.local, connection.tcb.remote);
  while (*link != &connection) link = &(*link)->next_in_bucket;
  *link = std::exchange(connection.next_in_bucket, nullptr);
  --size_;
}

Connection* ConnectionTable::any() noexcept {
  for (std::uint32_t i = 0; i < buckets_; ++i) {
    if (heads_[i] != nullptr) return heads_[i];
  }
  return nullptr;
}

}  // namespace mirage::net::tcp
