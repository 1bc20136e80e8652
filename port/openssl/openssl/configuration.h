/* SPDX-License-Identifier: ISC */
/* In the place of what OpenSSL's Configure writes (18 s, most of it for a makefile that is not used): a 64-bit machine
 * and nothing optional. */
#ifndef OPENSSL_CONFIGURATION_H
#define OPENSSL_CONFIGURATION_H

#define SIXTY_FOUR_BIT_LONG
#define RC4_INT unsigned int
#define OPENSSL_CONFIGURED_API 30000
#define OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_NO_STDIO
#define OPENSSL_NO_ENGINE
#define OPENSSL_NO_DSO

#endif
