// SPDX-License-Identifier: ISC
// Random numbers and keyed hashes for protocol use (sequence numbers, ports, transaction ids, hash tables).
// Deliberately small: ChaCha20 (RFC 8439) as a fast-key-erasure generator, and SipHash-2-4. Cryptographic services for
// applications (TLS and so on) come from a library, not from here.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <mirage/base/bytes.hpp>

namespace mirage {

/// The ChaCha20 block function, RFC 8439 section 2.3.
void chacha20_block(std::span<const std::uint32_t, 8> key, std::uint32_t counter,
                    std::span<const std::uint32_t, 3> nonce, std::span<std::byte, 64> out) noexcept;

/// Deterministic random bit generator: every refill replaces the key, so earlier output cannot be reconstructed.
class Drbg {
 public:
  using Seed = std::array<std::byte, 32>;
  explicit Drbg(const Seed& seed) noexcept;
  void fill(MutableBytes out) noexcept;
  /// Mixes fresh entropy into the key (after a snapshot is resumed, or from time to time).
  void reseed(Bytes entropy) noexcept;
  [[nodiscard]] std::uint32_t next_u32() noexcept;
  [[nodiscard]] std::uint64_t next_u64() noexcept;
  /// Uniform in [0, bound); bound > 0.
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) noexcept;

 private:
  void refill() noexcept;
  std::array<std::uint32_t, 8> key_{};
  std::array<std::byte, 64> block_{};
  std::size_t used_ = 64;
};

/// SipHash-2-4 (Aumasson, Bernstein 2012) with a 128-bit key.
struct SipKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};
[[nodiscard]] std::uint64_t siphash(const SipKey& key, Bytes message) noexcept;
/// SipHash-1-3 over whole words, for hash tables: a collision can be found no easier, and nobody sees the value.
[[nodiscard]] std::uint64_t table_hash(const SipKey& key, std::span<const std::uint64_t> words) noexcept;

}  // namespace mirage
