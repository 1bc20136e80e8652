# SPDX-License-Identifier: ISC
# Part of build.sh: flags, and one function per library. They use $arch $jobs $source $work $root $here.

target=$arch-linux-musl
launcher=
command -v ccache >/dev/null && launcher=ccache
unset CCACHE_BASEDIR # would turn paths into relative ones, past -ffile-prefix-map
# Same output wherever it is built; no debug information, no dates. Frame pointers (1 % of size) are for backtraces.
flags="-Os -ffunction-sections -fdata-sections -fno-pic -fno-pie -fno-omit-frame-pointer -DNDEBUG"
flags+=" -ffile-prefix-map=$source=/mirage/sysroot -ffile-prefix-map=$work=/mirage/sysroot"
flags+=" -ffile-prefix-map=$here=/mirage/sysroot/recipe -Wno-unused-command-line-argument"
[ "$arch" != x86_64 ] || flags+=" -mno-red-zone"

# musl's members that still hold a trap instruction (or need one): their users fail at link time, as they should.
# iconv is left out for CVE-2025-26519.
left_out_of_musl() {
  echo "src/locale/iconv src/locale/iconv_close src/thread/__unmapself src/thread/clone src/thread/syscall_cp"
  echo "src/signal/restore src/thread/$arch/__unmapself src/thread/$arch/clone src/thread/$arch/syscall_cp"
  echo "src/signal/$arch/restore"
  # On x86_64 the thread pointer is set by the platform (mirage/runtime/guest/libc.cpp).
  [ "$arch" != x86_64 ] || echo "src/thread/x86_64/__set_thread_area src/process/x86_64/vfork src/process/vfork"
}

# Three x86_64 assembly files store below the stack pointer, where an interrupt in ring 0 would overwrite it: expm1l
# gets its (dead) argument slot instead, the others a pushed word. check_sysroot finds what this misses.
remove_red_zone_from_assembly() {
  sed -i 's/-4(%rsp)/8(%rsp)/' "$source/musl/src/math/x86_64/exp2l.s"
  local range
  for range in feclearexcept feraiseexcept; do
    sed -i -e "/^$range:/,/ret\$/{s/^$range:\$/&\\n\\tpush %rax/;s/-8(%rsp)/(%rsp)/;s/^\\tret\$/\\tpop %rcx\\n\\tret/}" \
      "$source/musl/src/fenv/x86_64/fenv.s"
  done
  sed -i -e '1,/fildq/{s/movq\t%rdi,\t -8(%rsp)/pushq\t%rdi/;s/fildq\t-8(%rsp)/fildq\t(%rsp)\n\tpopq\t%rax/}' \
    "$source/llvm/compiler-rt/lib/builtins/x86_64/floatundixf.S"
}

build_musl() {
  [ "$arch" != x86_64 ] || remove_red_zone_from_assembly
  mkdir -p "$work/musl"
  (
    cd "$work/musl"
    # clang defaults to PIE: the -fno-pi* must stand in CC for the assembler files too.
    "$source/musl/configure" --target="$target" --prefix=/usr --disable-shared --disable-wrapper LIBCC=" " \
      CC="$launcher clang-19 --target=$target -fno-pie -fno-pic" AR=llvm-ar-19 RANLIB=llvm-ranlib-19 \
      CFLAGS="-iquote $here/overlay $flags"
    left_out="$(left_out_of_musl | tr '\n' ' ')"
    make -j"$jobs" "AOBJS=\$(filter-out $(printf 'obj/%s.o ' $left_out),\$(LIBC_OBJS))" \
      DESTDIR="$root" install-headers install-libs
  )
  install -D -m644 "$here/overlay/linux/futex.h" "$root/usr/include/linux/futex.h"
  # No start files of the hosted kind: mirage/runtime starts the C library.
  rm -f "$root"/usr/lib/*.o
}

# What every CMake project here needs to be told.
cross_cmake() {
  local folder=$1 build=$2 extra_flags=$3
  shift 3
  cmake -G Ninja -S "$folder" -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$arch" \
    -DCMAKE_BUILD_TYPE=None -DCMAKE_SYSROOT="$root" -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY \
    -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_ASM_COMPILER=clang-19 \
    -DCMAKE_C_COMPILER_TARGET="$target" -DCMAKE_CXX_COMPILER_TARGET="$target" -DCMAKE_ASM_COMPILER_TARGET="$target" \
    -DCMAKE_C_COMPILER_LAUNCHER="$launcher" -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" \
    -DCMAKE_AR="$(command -v llvm-ar-19)" -DCMAKE_RANLIB="$(command -v llvm-ranlib-19)" -DCMAKE_NM="$(command -v llvm-nm-19)" \
    -DCMAKE_C_FLAGS="$flags $extra_flags" -DCMAKE_CXX_FLAGS="$flags $extra_flags" -DCMAKE_ASM_FLAGS="$flags" \
    -DCMAKE_INSTALL_PREFIX=/usr -DLLVM_ENABLE_PER_TARGET_RUNTIME_DIR=OFF -Wno-dev "$@"
}

build_builtins() {
  cross_cmake "$source/llvm/compiler-rt/lib/builtins" "$work/builtins" "-fno-asynchronous-unwind-tables" \
    -DCOMPILER_RT_DEFAULT_TARGET_ONLY=ON -DCOMPILER_RT_BUILD_CRT=OFF -DCOMPILER_RT_BAREMETAL_BUILD=ON \
    -DCOMPILER_RT_EXCLUDE_ATOMIC_BUILTIN=ON -DCOMPILER_RT_OS_DIR= -DCMAKE_C_COMPILER_WORKS=ON
  ninja -C "$work/builtins" -j"$jobs"
  install -D -m644 "$(find "$work/builtins" -name 'libclang_rt.builtins*.a')" "$root/usr/lib/libclang_rt.builtins.a"
}

# build_libcxx plain|exceptions -> usr/lib/<variant>/libc++.a (libc++abi inside) [and libunwind.a]
build_libcxx() {
  local variant=$1 exceptions=OFF runtimes="libcxxabi;libcxx" extra="-fno-unwind-tables -fno-asynchronous-unwind-tables"
  if [ "$variant" = exceptions ]; then
    exceptions=ON runtimes="libunwind;libcxxabi;libcxx" extra=
  fi
  cross_cmake "$source/llvm/runtimes" "$work/$variant" "$extra" -DLLVM_ENABLE_RUNTIMES="$runtimes" \
    -DLIB{UNWIND,CXXABI,CXX}_ENABLE_SHARED=OFF -DLIB{UNWIND,CXXABI,CXX}_USE_COMPILER_RT=ON \
    -DLIB{UNWIND,CXXABI,CXX}_INCLUDE_TESTS=OFF -DLIB{UNWIND,CXXABI,CXX}_ENABLE_THREADS=OFF \
    -DLIB{UNWIND,CXXABI}_ENABLE_ASSERTIONS=OFF -DLIB{CXXABI,CXX}_ENABLE_EXCEPTIONS=$exceptions -DLIBUNWIND_INCLUDE_DOCS=OFF -DLIBUNWIND_INSTALL_HEADERS=ON \
    -DLIBCXXABI_NON_DEMANGLING_TERMINATE=ON -DLIBCXXABI_USE_LLVM_UNWINDER=$exceptions \
    -DLIBCXX_HAS_MUSL_LIBC=ON -DLIBCXX_CXX_ABI=libcxxabi -DLIBCXX_ENABLE_STATIC_ABI_LIBRARY=ON \
    -DLIBCXX_HAS_ATOMIC_LIB=OFF -DLIBCXX_INSTALL_MODULES=OFF -DLIBCXX_HARDENING_MODE=fast \
    -DLIBCXX_INCLUDE_BENCHMARKS=OFF -DLLVM_INCLUDE_TESTS=OFF -DLLVM_INCLUDE_DOCS=OFF \
    -DLIBCXX_ENABLE_{LOCALIZATION,WIDE_CHARACTERS,FILESYSTEM,RANDOM_DEVICE,TIME_ZONE_DATABASE}=OFF
  ninja -C "$work/$variant" -j"$jobs"
  DESTDIR="$work/$variant-install" ninja -C "$work/$variant" install
  install_libcxx "$variant"
}

# Both variants have the same headers (exceptions are a compiler switch), so they are installed once.
install_libcxx() {
  local from=$work/$1-install/usr to=$root/usr
  mkdir -p "$to/lib/$1" "$to/include/c++"
  cp "$from/lib/libc++.a" "$to/lib/$1/"
  [ ! -e "$from/lib/libunwind.a" ] || cp "$from/lib/libunwind.a" "$to/lib/$1/"
  if [ -d "$to/include/c++/v1" ]; then
    diff -r "$from/include/c++/v1" "$to/include/c++/v1"
  else
    cp -r "$from/include/c++/v1" "$to/include/c++/v1"
  fi
  [ ! -e "$from/include/unwind.h" ] || cp "$from"/include/*unwind* "$to/include/"
}

# What a guest must not run, of a disassembler's listing on standard input: a trap to a kernel, and on x86_64 a store below the
# stack pointer. At most five lines.
forbidden_instructions() {
  local pattern='[[:space:]](syscall|sysenter|int[[:space:]]+[$](0x)?80|svc[[:space:]])'
  [ "$arch" != x86_64 ] || pattern+='|[[:space:]]-(0x)?[0-9a-f]+[(]%rsp[)]'
  awk -v pattern="$pattern" '$0 ~ pattern && !/[[:space:]]lea[lq][[:space:]]/ && ++count <= 5'
}

check_sysroot() {
  local library listing found libraries=0
  # A pattern that finds nothing would let everything pass.
  found=$(printf '0:\tsyscall\n2:\tint\t$0x80\n4:\tsvc\t#0\n' | forbidden_instructions)
  [ "$(wc -l <<<"$found")" = 3 ] || die "the search for forbidden instructions does not find them"
  while read -r library; do
    # The disassembler's own failure must not pass for "nothing found".
    listing=$(llvm-objdump-19 -d --no-show-raw-insn "$library") || die "$library cannot be disassembled"
    found=$(forbidden_instructions <<<"$listing") || die "$library's instructions cannot be searched"
    libraries=$((libraries + 1))
    [ -z "$found" ] || die "$library holds instructions that a guest must not run: $found"
  done < <(find "$root/usr/lib" -name '*.a' -size +1k)
  [ "$libraries" -ge 4 ] || die "only $libraries libraries were found in $root/usr/lib"
}
