/* SPDX-License-Identifier: ISC */
/* Chooses between OpenSSL's implementations as its providers do (providers/implementations/ciphers/cipher_aes_xts_hw.c)
 * and joins their parts; no cryptography of its own. */
#include "mirage_crypto.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "crypto/modes.h" /* first: the other uses its types */

#ifdef MIRAGE_X86_64
#define AES_ASM /* for the declarations of AES-NI; to aes_core.c it would mean the code with tables */
#endif
#include "crypto/aes_platform.h"

#ifdef MIRAGE_X86_64
extern unsigned int OPENSSL_ia32cap_P[4];
uint64_t OPENSSL_ia32_cpuid(unsigned int *more);

/* Always the same values, so it does not matter how often (crypto/cpuid.c asks the environment, too). */
static void detect(void) {
  const uint64_t found = OPENSSL_ia32_cpuid(OPENSSL_ia32cap_P);
  OPENSSL_ia32cap_P[0] = (unsigned int)found | 1 << 10;
  OPENSSL_ia32cap_P[1] = (unsigned int)(found >> 32);
}
static enum mirage_aes best(void) {
  detect();
  return AESNI_CAPABLE ? MIRAGE_AES_INSTRUCTIONS : VPAES_CAPABLE ? MIRAGE_AES_SHUFFLE : MIRAGE_AES_PLAIN;
}
#else
static void detect(void) {}
static enum mirage_aes best(void) { return MIRAGE_AES_PLAIN; }
#endif

struct xts {
  _Alignas(16) AES_KEY encrypt;
  _Alignas(16) AES_KEY decrypt;
  _Alignas(16) AES_KEY tweak;
  enum mirage_aes aes;
};

size_t mirage_xts_size(void) { return sizeof(struct xts); }

enum mirage_aes mirage_xts_init(void *memory, const uint8_t *key, enum mirage_aes at_most) {
  struct xts *xts = memory;
  const enum mirage_aes found = best();
  xts->aes = found < at_most ? found : at_most;
  switch (xts->aes) {
#ifdef MIRAGE_X86_64
    case MIRAGE_AES_INSTRUCTIONS:
      aesni_set_encrypt_key(key, 256, &xts->encrypt);
      aesni_set_decrypt_key(key, 256, &xts->decrypt);
      aesni_set_encrypt_key(key + 32, 256, &xts->tweak);
      break;
    case MIRAGE_AES_SHUFFLE:
      vpaes_set_encrypt_key(key, 256, &xts->encrypt);
      vpaes_set_decrypt_key(key, 256, &xts->decrypt);
      vpaes_set_encrypt_key(key + 32, 256, &xts->tweak);
      break;
#endif
    default:
      AES_set_encrypt_key(key, 256, &xts->encrypt);
      AES_set_decrypt_key(key, 256, &xts->decrypt);
      AES_set_encrypt_key(key + 32, 256, &xts->tweak);
  }
  return xts->aes;
}

/* IEEE Std 1619, section 5.1: the tweak is the number of the data unit, its lowest byte first. */
static void put_number(uint64_t high, uint64_t low, uint8_t *tweak) {
  for (int i = 0; i < 8; ++i) {
    tweak[i] = (uint8_t)(low >> 8 * i);
    tweak[8 + i] = (uint8_t)(high >> 8 * i);
  }
}

static void by_blocks(const struct xts *xts, const uint8_t *tweak, const uint8_t *in, uint8_t *out, size_t size,
                      int encrypt) {
  XTS128_CONTEXT context = {.key1 = (void *)(encrypt ? &xts->encrypt : &xts->decrypt), .key2 = (void *)&xts->tweak};
  context.block1 = (block128_f)(encrypt ? AES_encrypt : AES_decrypt);
  context.block2 = (block128_f)AES_encrypt;
#ifdef MIRAGE_X86_64
  if (xts->aes == MIRAGE_AES_SHUFFLE) {
    context.block1 = (block128_f)(encrypt ? vpaes_encrypt : vpaes_decrypt);
    context.block2 = (block128_f)vpaes_encrypt;
  }
#endif
  CRYPTO_xts128_encrypt(&context, tweak, in, out, size, encrypt);
}

void mirage_xts_encrypt(const void *memory, uint64_t high, uint64_t low, const uint8_t *in, uint8_t *out, size_t size) {
  const struct xts *xts = memory;
  uint8_t tweak[16];
  put_number(high, low, tweak);
#ifdef MIRAGE_X86_64
  if (xts->aes == MIRAGE_AES_INSTRUCTIONS) {
    aesni_xts_encrypt(in, out, size, &xts->encrypt, &xts->tweak, tweak);
    return;
  }
#endif
  by_blocks(xts, tweak, in, out, size, 1);
}

void mirage_xts_decrypt(const void *memory, uint64_t high, uint64_t low, const uint8_t *in, uint8_t *out, size_t size) {
  const struct xts *xts = memory;
  uint8_t tweak[16];
  put_number(high, low, tweak);
#ifdef MIRAGE_X86_64
  if (xts->aes == MIRAGE_AES_INSTRUCTIONS) {
    aesni_xts_decrypt(in, out, size, &xts->decrypt, &xts->tweak, tweak);
    return;
  }
#endif
  by_blocks(xts, tweak, in, out, size, 0);
}

/* The hashes after the two padded keys. */
struct hmac {
  SHA256_CTX inner;
  SHA256_CTX outer;
};

size_t mirage_hmac_size(void) { return sizeof(struct hmac); }

void mirage_hmac_init(void *memory, const uint8_t *key, size_t size) {
  struct hmac *hmac = memory;
  uint8_t pad[SHA256_CBLOCK];
  detect();
  memset(pad, 0x36, sizeof(pad));
  for (size_t i = 0; i < size; ++i) pad[i] ^= key[i];
  SHA256_Init(&hmac->inner);
  SHA256_Update(&hmac->inner, pad, sizeof(pad));
  for (size_t i = 0; i < sizeof(pad); ++i) pad[i] ^= 0x36 ^ 0x5c;
  SHA256_Init(&hmac->outer);
  SHA256_Update(&hmac->outer, pad, sizeof(pad));
  OPENSSL_cleanse(pad, sizeof(pad));
}

void mirage_hmac(const void *memory, const uint8_t *one, size_t one_size, const uint8_t *two, size_t two_size,
                 uint8_t *code) {
  const struct hmac *hmac = memory;
  SHA256_CTX context = hmac->inner;
  uint8_t inner[SHA256_DIGEST_LENGTH];
  SHA256_Update(&context, one, one_size);
  SHA256_Update(&context, two, two_size);
  SHA256_Final(inner, &context);
  context = hmac->outer;
  SHA256_Update(&context, inner, sizeof(inner));
  SHA256_Final(code, &context);
}

int mirage_equal(const void *one, const void *two, size_t size) { return CRYPTO_memcmp(one, two, size) == 0; }
void mirage_wipe(void *memory, size_t size) { OPENSSL_cleanse(memory, size); }
