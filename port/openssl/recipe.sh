# SPDX-License-Identifier: ISC
# OpenSSL's libcrypto (Apache License 2.0), by hand: AES with XTS and SHA-256, behind the few functions of
# mirage_crypto.h. EVP is left out: it drags in providers, names and parameters, 3.7 MB linked against 30 KB.
#
# One global is written: OPENSSL_ia32cap_P, what the processor can do, per process and always the same values. Nothing
# is asked of libc but memcpy and memset.
assembler() {
  # "3.0": no code for AVX2. That of SHA-256 writes below the stack pointer, which an interrupt in ring 0 overwrites.
  CC="echo clang version 3.0" perl "$1" elf "$2" >>"$log" 2>&1 || die "OpenSSL's $1 fails"
  # Code that runs before main; detect() does its work.
  sed -i -e '/OPENSSL_cpuid_setup$/{/hidden/d}' -e '/^\.section[[:space:]]*\.init/,/call/d' "$2"
  # Tables for unwinding, which images without exceptions do not have.
  [ "$arch" = native ] || sed -i '/^\.cfi_/d' "$2"
}

build_port() {
  # Templates of lists of pointers, which nothing here uses.
  for header in crypto safestack; do
    sed '/^{-/,/-}$/d' "include/openssl/$header.h.in" >"include/openssl/$header.h"
  done
  cp "$ports"/openssl/openssl/*.h include/openssl/
  cp "$ports"/openssl/mirage_crypto.* .
  local options="-I. -Iinclude -Icrypto -DL_ENDIAN -DOPENSSL_AES_CONST_TIME" files="crypto/mem_clr.c crypto/cpuid.c"
  if [ "$arch" = x86_64 ] || { [ "$arch" = native ] && [ "$(uname -m)" = x86_64 ]; }; then
    assembler crypto/x86_64cpuid.pl cpuid.s
    assembler crypto/aes/asm/aesni-x86_64.pl aesni.s
    assembler crypto/aes/asm/vpaes-x86_64.pl vpaes.s
    assembler crypto/sha/asm/sha512-x86_64.pl sha256.s
    compile "-Wa,--noexecstack" cpuid.s aesni.s vpaes.s sha256.s
    files=
    options+=" -DOPENSSL_CPUID_OBJ -DVPAES_ASM -DSHA256_ASM -DMIRAGE_X86_64"
  fi
  # shellcheck disable=SC2086
  compile "$options" mirage_crypto.c crypto/aes/aes_core.c crypto/modes/xts128.c crypto/sha/sha256.c $files
  cp mirage_crypto.h "$root/include/"
  cp LICENSE.txt "$root/"
}
