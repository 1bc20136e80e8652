// SPDX-License-Identifier: ISC
#include <bit>
#include <cstring>

#include <mirage/base/random.hpp>

namespace mirage {
namespace {

void quarter_round(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c, std::uint32_t& d) noexcept {
  a += b;
  d = std::rotl(d ^ a, 16);
  c += d;
  b = std::rotl(b ^ c, 12);
  a += b;
  d = std::rotl(d ^ a, 8);
  c += d;
  b = std::rotl(b ^ c, 7);
}

struct SipState {
  explicit SipState(const SipKey& key) noexcept
      : v0(key.k0 ^ 0x736f6d6570736575),
        v1(key.k1 ^ 0x646f72616e646f6d),
        v2(key.k0 ^ 0x6c7967656e657261),
        v3(key.k1 ^ 0x7465646279746573) {}
  std::uint64_t v0, v1, v2, v3;
  void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(std::uint64_t word, int rounds) noexcept {
    v3 ^= word;
    for (int i = 0; i < rounds; ++i) round();
    v0 ^= word;
  }
  std::uint64_t finish(int rounds) noexcept {
    v2 ^= 0xff;
    for (int i = 0; i < rounds; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

void chacha20_block(std::span<const std::uint32_t, 8> key, std::uint32_t counter,
                    std::span<const std::uint32_t, 3> nonce, std::span<std::byte, 64> out) noexcept {
  std::array<std::uint32_t, 16> initial{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  for (std::size_t i = 0; i < 8; ++i) initial[4 + i] = key[i];
  initial[12] = counter;
  for (std::size_t i = 0; i < 3; ++i) initial[13 + i] = nonce[i];
  auto x = initial;
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < 4; ++i) quarter_round(x[i], x[4 + i], x[8 + i], x[12 + i]);
    for (std::size_t i = 0; i < 4; ++i)
      quarter_round(x[i], x[4 + (i + 1) % 4], x[8 + (i + 2) % 4], x[12 + (i + 3) % 4]);
  }
  for (std::size_t i = 0; i < 16; ++i) store_little<std::uint32_t>(out, 4 * i, x[i] + initial[i]);
}

Drbg::Drbg(const Seed& seed) noexcept {
  for (std::size_t i = 0; i < key_.size(); ++i) key_[i] = load_little<std::uint32_t>(seed, 4 * i);
}

void Drbg::refill() noexcept {
  constexpr std::array<std::uint32_t, 3> nonce{};
  chacha20_block(key_, 0, nonce, block_);
  // Fast key erasure: the first half becomes the next key and never leaves.
  for (std::size_t i = 0; i < key_.size(); ++i) key_[i] = load_little<std::uint32_t>(block_, 4 * i);
  std::memset(block_.data(), 0, 32);
  used_ = 32;
}

void Drbg::fill(MutableBytes out) noexcept {
  for (std::byte& byte : out) {
    if (used_ == block_.size()) refill();
    byte = block_[used_];
    block_[used_++] = std::byte{0};
  }
}

void Drbg::reseed(Bytes entropy) noexcept {
  while (!entropy.empty()) {
    refill();
    const std::size_t count = entropy.size() < 32 ? entropy.size() : 32;
    for (std::size_t i = 0; i < count; ++i) {
      key_[i / 4] ^= std::to_integer<std::uint32_t>(entropy[i]) << (8 * (i % 4));
    }
    entropy = entropy.subspan(count);
  }
  refill();
}

std::uint32_t Drbg::next_u32() noexcept {
  std::array<std::byte, 4> bytes;
  fill(bytes);
  return load_little<std::uint32_t>(bytes, 0);
}

std::uint64_t Drbg::next_u64() noexcept {
  std::array<std::byte, 8> bytes;
  fill(bytes);
  return load_little<std::uint64_t>(bytes, 0);
}

std::uint32_t Drbg::below(std::uint32_t bound) noexcept {
  // Lemire's method: reject the few values that would make the result uneven.
  std::uint64_t product = static_cast<std::uint64_t>(next_u32()) * bound;
  const std::uint32_t threshold = (0U - bound) % bound;
  while (static_cast<std::uint32_t>(product) < threshold) product = static_cast<std::uint64_t>(next_u32()) * bound;
  return static_cast<std::uint32_t>(product >> 32);
}

std::uint64_t siphash(const SipKey& key, Bytes message) noexcept {
  SipState state{key};
  const std::uint64_t length = message.size();
  for (; message.size() >= 8; message = message.subspan(8)) state.absorb(load_little<std::uint64_t>(message, 0), 2);
  std::uint64_t last = length << 56;
  for (std::size_t i = 0; i < message.size(); ++i) last |= std::to_integer<std::uint64_t>(message[i]) << (8 * i);
  state.absorb(last, 2);
  return state.finish(4);
}

std::uint64_t table_hash(const SipKey& key, std::span<const std::uint64_t> words) noexcept {
  SipState state{key};
  for (const std::uint64_t word : words) state.absorb(word, 1);
  state.absorb(std::uint64_t{8} * words.size() << 56, 1);
  return state.finish(3);
}

}  // namespace mirage
