// SPDX-License-Identifier: ISC
#include <bit>
#include <new>
#include <span>
#include <utility>

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

std::uint32_t ConnectionTable::hash_of(const Endpoint& local, const Endpoint& remote) const noexcept {
  std::array<std::uint64_t, 5> words;
  std::size_t count = 0;
  if (local.address.is_v4() && remote.address.is_v4()) {
    words[count++] = std::uint64_t{local.address.v4().value} << 32 | remote.address.v4().value;
  } else {
    for (const Endpoint* endpoint : {&local, &remote}) {
      words[count++] = endpoint->address.high();
      words[count++] = endpoint->address.low();
    }
  }
  words[count++] = std::uint64_t{local.port} << 48 | std::uint64_t{local.zone} << 32 |
                   std::uint64_t{remote.port} << 16 | remote.zone;
  return static_cast<std::uint32_t>(table_hash(key_, std::span{words}.first(count)));
}

/// The bucket of a hash: as many bits of it as there are buckets for, one less where the bucket is still to be split
/// off.
std::uint32_t ConnectionTable::index_of(std::uint32_t hash) const noexcept {
  const std::uint32_t whole = std::bit_ceil(buckets_);
  const std::uint32_t index = hash & (whole - 1);
  return index < buckets_ ? index : index - whole / 2;
}

Connection* ConnectionTable::find(const Endpoint& local, const Endpoint& remote) noexcept {
  if (size_ == 0) return nullptr;
  const std::uint32_t hash = hash_of(local, remote);
  Connection* connection = bucket(index_of(hash));
  while (connection != nullptr &&
         (connection->hash != hash || connection->remote != remote || connection->local != local)) {
    connection = connection->next_in_bucket;
  }
  return connection;
}

bool ConnectionTable::add_segment(std::uint32_t index) noexcept {
  if (segments_[index] == nullptr) segments_[index].reset(new (std::nothrow) Segment{});
  return segments_[index] != nullptr;
}

bool ConnectionTable::begin() noexcept {
  if (segments_ == nullptr) segments_.reset(new (std::nothrow) std::unique_ptr<Segment>[bound_]);  // NOLINT
  if (segments_ == nullptr || !add_segment(0)) return false;
  buckets_ = segment_buckets;
  return true;
}

/// One bucket more: what belongs to it comes from the one that has had it so far. Without memory chains grow longer,
/// which is better than refusing.
void ConnectionTable::split() noexcept {
  const std::uint32_t index = buckets_;
  if (index / segment_buckets >= bound_ || !add_segment(index / segment_buckets)) return;
  Connection* chain = std::exchange(bucket(index - std::bit_floor(index)), nullptr);
  ++buckets_;
  while (chain != nullptr) {
    Connection* connection = std::exchange(chain, chain->next_in_bucket);
    Connection*& place = bucket(index_of(connection->hash));
    connection->next_in_bucket = std::exchange(place, connection);
  }
}

bool ConnectionTable::insert(Connection& connection) noexcept {
  if (buckets_ == 0 && !begin()) return false;
  if (size_ >= buckets_) split();
  connection.hash = hash_of(connection.local, connection.remote);
  Connection*& place = bucket(index_of(connection.hash));
  connection.next_in_bucket = std::exchange(place, &connection);
  ++size_;
  return true;
}

void ConnectionTable::remove(Connection& connection) noexcept {
  Connection** link = &bucket(index_of(connection.hash));
  while (*link != &connection) link = &(*link)->next_in_bucket;
  *link = std::exchange(connection.next_in_bucket, nullptr);
  --size_;
}

Connection* ConnectionTable::any(std::uint32_t& from) noexcept {
  while (from < buckets_ && bucket(from) == nullptr) ++from;
  return from < buckets_ ? bucket(from) : nullptr;
}

}  // namespace mirage::net::tcp
