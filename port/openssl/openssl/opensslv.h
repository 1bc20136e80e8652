/* SPDX-License-Identifier: ISC */
/* In the place of what OpenSSL's Configure writes; the numbers are those of port/openssl/sources. */
#ifndef OPENSSL_OPENSSLV_H
#define OPENSSL_OPENSSLV_H

#define OPENSSL_VERSION_MAJOR 3
#define OPENSSL_VERSION_MINOR 0
#define OPENSSL_VERSION_PATCH 20

#endif
