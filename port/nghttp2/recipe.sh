# SPDX-License-Identifier: ISC
# The protocol library of nghttp2 alone. State is per session; the library writes no globals and reads no clock (time.c).
build_port() {
  sed 's/@PACKAGE_VERSION@/1.52.0/; s/@PACKAGE_VERSION_NUM@/0x013400/' lib/includes/nghttp2/nghttp2ver.h.in \
    >lib/includes/nghttp2/nghttp2ver.h
  rm lib/nghttp2_time.c
  cp "$ports/nghttp2/time.c" lib/mirage_time.c
  compile "-Ilib/includes -DNGHTTP2_STATICLIB -DBUILDING_NGHTTP2 -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H -DHAVE_TIME_H" lib/*.c
  mkdir "$root/include/nghttp2"
  cp lib/includes/nghttp2/*.h "$root/include/nghttp2/"
}
