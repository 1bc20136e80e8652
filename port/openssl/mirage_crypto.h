/* SPDX-License-Identifier: ISC */
/* What mirage uses of OpenSSL's libcrypto, without EVP: AES-256-XTS, HMAC-SHA-256, comparing and wiping secrets. Each
 * picks the fastest code that the processor has; none depends on secrets in its time or in the addresses it reads. */
#ifndef MIRAGE_CRYPTO_H
#define MIRAGE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How AES is done: in plain C (bit-sliced, slow), by byte shuffles (SSSE3), by AES-NI. */
enum mirage_aes { MIRAGE_AES_PLAIN, MIRAGE_AES_SHUFFLE, MIRAGE_AES_INSTRUCTIONS };

/* AES-256-XTS (IEEE Std 1619): a state of mirage_xts_size() bytes, aligned to 16. */
size_t mirage_xts_size(void);
/* `key`: 64 bytes, first the key of the data, then that of the tweak. `at_most`: no better than this, for tests.
 * Returns what was chosen. */
enum mirage_aes mirage_xts_init(void *xts, const uint8_t *key, enum mirage_aes at_most);
/* One data unit: `size` is a multiple of 16, not 0; its number is high * 2^64 + low. `in` may be `out`. */
void mirage_xts_encrypt(const void *xts, uint64_t high, uint64_t low, const uint8_t *in, uint8_t *out, size_t size);
void mirage_xts_decrypt(const void *xts, uint64_t high, uint64_t low, const uint8_t *in, uint8_t *out, size_t size);

/* HMAC-SHA-256 (RFC 2104, FIPS 180-4): a state of mirage_hmac_size() bytes, aligned to 16. */
size_t mirage_hmac_size(void);
/* `size` is at most 64. */
void mirage_hmac_init(void *hmac, const uint8_t *key, size_t size);
/* The code of two pieces after another: 32 bytes. */
void mirage_hmac(const void *hmac, const uint8_t *one, size_t one_size, const uint8_t *two, size_t two_size,
                 uint8_t *code);

/* 1 or 0, in a time that does not depend on the content. */
int mirage_equal(const void *one, const void *two, size_t size);
/* Zeroes that the compiler does not leave out. */
void mirage_wipe(void *memory, size_t size);

#ifdef __cplusplus
}
#endif

#endif
