// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage_crypto.h>

#include <mirage/device/crypt/cipher.hpp>

namespace mirage::device::crypt {

namespace {
const std::uint8_t* octets(Bytes bytes) noexcept { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }
std::uint8_t* octets(MutableBytes bytes) noexcept { return reinterpret_cast<std::uint8_t*>(bytes.data()); }
}  // namespace

void wipe(MutableBytes secret) noexcept { mirage_wipe(secret.data(), secret.size()); }
bool equal(Bytes one, Bytes two) noexcept { return mirage_equal(one.data(), two.data(), one.size()) == 1; }

bool Secret::allocate(std::size_t size) noexcept {
  clear();
  static_assert(__STDCPP_DEFAULT_NEW_ALIGNMENT__ >= 16);  // what the port asks for
  memory_.reset(new (std::nothrow) std::byte[size]);
  size_ = size;
  return memory_ != nullptr;
}
void Secret::clear() noexcept {
  if (memory_) wipe({memory_.get(), size_});
  memory_.reset();
}

std::string_view to_string(Aes aes) noexcept {
  return aes == Aes::instructions ? "AES-NI" : aes == Aes::shuffle ? "SSSE3" : "plain code, slow";
}

bool Xts::init(const Key& key, Aes at_most) noexcept {
  if (!state_.allocate(mirage_xts_size())) return false;
  aes_ = static_cast<Aes>(mirage_xts_init(state_.get(), octets(Bytes{key.bytes}), static_cast<mirage_aes>(at_most)));
  return true;
}

void Xts::encrypt(std::uint64_t unit, Bytes in, MutableBytes out) const noexcept {
  for (std::size_t at = 0; at < in.size(); at += unit_size)
    mirage_xts_encrypt(state_.get(), 0, unit++, octets(in) + at, octets(out) + at, unit_size);
}

void Xts::decrypt(std::uint64_t unit, MutableBytes bytes) const noexcept {
  for (std::size_t at = 0; at < bytes.size(); at += unit_size)
    mirage_xts_decrypt(state_.get(), 0, unit++, octets(bytes) + at, octets(bytes) + at, unit_size);
}

void Xts::encrypt_apart(Bytes in, MutableBytes out) const noexcept {
  mirage_xts_encrypt(state_.get(), 1, 0, octets(in), octets(out), in.size());
}

bool Mac::init(Bytes key) noexcept {
  if (!state_.allocate(mirage_hmac_size())) return false;
  mirage_hmac_init(state_.get(), octets(key), key.size());
  return true;
}

Mac::Code Mac::code(Bytes one, Bytes two) const noexcept {
  Code code;
  mirage_hmac(state_.get(), octets(one), one.size(), octets(two), two.size(), octets(MutableBytes{code}));
  return code;
}

bool derive(Bytes key, Bytes salt, std::string_view info, MutableBytes out) noexcept {
  Mac mac;
  // RFC 5869, section 2.2: extract.
  if (!mac.init(salt)) return false;
  Mac::Code secret = mac.code(key, {});
  const bool ready = mac.init(secret);
  // Section 2.3: expand. T(n) = HMAC(T(n - 1) | info | n).
  std::array<std::byte, 33> rest;
  const std::size_t size = std::min(info.size(), rest.size() - 1);
  std::ranges::copy(as_bytes(info).first(size), rest.begin());
  std::size_t before = 0;
  for (std::uint8_t round = 1; ready && !out.empty(); ++round) {
    rest[size] = std::byte{round};
    secret = mac.code(Bytes{secret}.first(before), Bytes{rest}.first(size + 1));
    before = secret.size();
    const std::size_t part = std::min(before, out.size());
    std::ranges::copy(Bytes{secret}.first(part), out.begin());
    out = out.subspan(part);
  }
  wipe(secret);
  return ready;
}

}  // namespace mirage::device::crypt
