# SPDX-License-Identifier: ISC
# zlib without its file functions (gz*). State is per z_stream; the library has no mutable globals.
build_port() {
  compile "-DHAVE_HIDDEN -DHAVE_UNISTD_H" \
    adler32.c crc32.c deflate.c infback.c inffast.c inflate.c inftrees.c trees.c zutil.c
  cp zlib.h zconf.h "$root/include/"
}
