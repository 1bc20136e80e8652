# SPDX-License-Identifier: ISC
# Toolchain of guest images; included by guest-<arch>.cmake, which sets MIRAGE_ARCH. Why each flag: doc/toolchain.md.
#   MIRAGE_SYSROOT     the sysroot; when empty, tool/sysroot/build.sh is asked for it (and builds it on first use)
#   MIRAGE_OPTIMIZE    balanced (default), speed or size: --optimize
#   MIRAGE_EXCEPTIONS  ON: the whole image has C++ exceptions and RTTI
# Writes <build>/guest/{compile,link,libraries}.rsp, the same flags for use outside CMake:
#   clang++-19 @compile.rsp -c main.cpp; clang++-19 @link.rsp -Wl,-T,SCRIPT main.o MIRAGE_LIBRARIES @libraries.rsp -o IMAGE
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR ${MIRAGE_ARCH})
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MIRAGE_SYSROOT MIRAGE_EXCEPTIONS MIRAGE_OPTIMIZE)

get_filename_component(mirage_root ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
if(NOT MIRAGE_SYSROOT)
  execute_process(COMMAND ${mirage_root}/tool/sysroot/build.sh --arch ${MIRAGE_ARCH}
    OUTPUT_VARIABLE sysroot_output OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE ".*\n" "" sysroot_output "${sysroot_output}")
  set(MIRAGE_SYSROOT ${sysroot_output} CACHE PATH "Guest sysroot (tool/sysroot/build.sh)")
endif()
if(NOT EXISTS ${MIRAGE_SYSROOT}/mirage-sysroot)
  message(FATAL_ERROR "MIRAGE_SYSROOT='${MIRAGE_SYSROOT}' is no guest sysroot: build it with tool/sysroot/build.sh")
endif()

set(target --target=${MIRAGE_ARCH}-linux-musl --sysroot=${MIRAGE_SYSROOT})
foreach(tool C:clang CXX:clang++ ASM:clang)
  string(REPLACE ":" ";" tool ${tool})
  list(GET tool 0 language)
  list(GET tool 1 program)
  set(CMAKE_${language}_COMPILER ${program}-19)
  set(CMAKE_${language}_COMPILER_TARGET ${MIRAGE_ARCH}-linux-musl)
endforeach()
set(CMAKE_SYSROOT ${MIRAGE_SYSROOT})
set(CMAKE_AR llvm-ar-19)
set(CMAKE_RANLIB llvm-ranlib-19)
set(CMAKE_NM llvm-nm-19)
set(CMAKE_OBJCOPY llvm-objcopy-19)
set(CMAKE_STRIP llvm-strip-19)
set(CMAKE_FIND_ROOT_PATH ${MIRAGE_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# For size, the linker sees all of the image at once: what runs of instructions have in common becomes a function.
set(optimize_flags -Os)
set(optimize_link_flags "")
set(leaf_flags -mno-omit-leaf-frame-pointer)
if(MIRAGE_OPTIMIZE STREQUAL speed)
  # What is taken often, and what seldom, was counted by bench_request (./dev profile). Its counters go by the names of
  # functions, and by the file's where the name is local to it: so files are not compiled together then.
  set(profile ${CMAKE_BINARY_DIR}/guest/speed.profdata)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/guest)
  execute_process(COMMAND llvm-profdata-19 merge -o ${profile} ${CMAKE_CURRENT_LIST_DIR}/speed.proftext
    COMMAND_ERROR_IS_FATAL ANY)
  set(optimize_flags -O2 -flto -fprofile-use=${profile} -mllvm -static-func-full-module-prefix=false
    -Wno-profile-instr-unprofiled -Wno-profile-instr-out-of-date -Wno-backend-plugin)
  set(optimize_link_flags -O2 -flto)
elseif(MIRAGE_OPTIMIZE STREQUAL size)
  set(optimize_flags -Oz -flto)
  # Each measured with the web site: the rest of what LLVM does for speed even then, half a per cent apiece. A fault in a
  # function that calls none leaves its caller out of the trace.
  set(leaf_flags -momit-leaf-frame-pointer)
  set(optimize_link_flags -Oz -flto)
  foreach(pass enable-machine-outliner=always inline-threshold=-10 min-jump-table-entries=8 disable-lsr disable-block-placement)
    list(APPEND optimize_link_flags -Wl,-mllvm,-${pass})
  endforeach()
endif()
set(machine_flags ${optimize_flags} -fno-pic -fno-pie -ffunction-sections -fdata-sections)
if(MIRAGE_ARCH STREQUAL x86_64)
  # An interrupt in ring 0 writes below the stack pointer; the canary is a plain global, valid before libc starts.
  list(APPEND machine_flags -mno-red-zone -mstack-protector-guard=global)
endif()
set(hardening_flags -fstack-protector-strong -ftrivial-auto-var-init=zero)
# Files that are compiled together are named in one that CMake writes, with their whole paths: DWARF would hold its MD5.
# It has no place for SHA-1.
set(debug_flags -gline-tables-only -Xclang -gsrc-hash=sha1 -fno-omit-frame-pointer ${leaf_flags}
  -ffile-prefix-map=${mirage_root}=/mirage -ffile-prefix-map=${MIRAGE_SYSROOT}=/mirage/sysroot
  -ffile-prefix-map=${CMAKE_BINARY_DIR}=/mirage/build)
set(c_flags ${machine_flags} ${hardening_flags} ${debug_flags})
# One shard per address space, no threads: local statics need no lock.
set(cxx_flags -nostdinc++ -isystem ${MIRAGE_SYSROOT}/usr/include/c++/v1 -fno-threadsafe-statics)
if(MIRAGE_EXCEPTIONS)
  set(libcxx_variant exceptions)
  set(libcxx_libraries -lc++ -lunwind)
  list(APPEND cxx_flags -fexceptions -frtti)
else()
  set(libcxx_variant plain)
  set(libcxx_libraries -lc++)
  list(APPEND c_flags -fno-unwind-tables -fno-asynchronous-unwind-tables)
  list(APPEND cxx_flags -fno-exceptions -fno-rtti)
endif()

# A target adds its linker script (-Wl,-T,...). Without separate-code, segments could share pages of memory.
set(link_flags ${optimize_link_flags} -nostdlib -static -fuse-ld=lld -Wl,--gc-sections,--icf=all,-O2,--build-id=none
  -Wl,--image-base=0x100000,-z,max-page-size=4096,-z,separate-code,-z,noexecstack,-z,norelro
  -L${MIRAGE_SYSROOT}/usr/lib/${libcxx_variant})
if(MIRAGE_EXCEPTIONS)
  list(APPEND link_flags -Wl,--eh-frame-hdr)
endif()
set(link_libraries -Wl,--start-group ${libcxx_libraries} -lc -lclang_rt.builtins -Wl,--end-group)

list(JOIN c_flags " " c_flags)
list(JOIN cxx_flags " " cxx_flags)
list(JOIN link_flags " " link_flags)
list(JOIN link_libraries " " link_libraries)
list(JOIN target " " target)
set(CMAKE_C_FLAGS_INIT "${c_flags}")
set(CMAKE_CXX_FLAGS_INIT "${c_flags} ${cxx_flags}")
set(CMAKE_ASM_FLAGS_INIT "${c_flags}")
set(CMAKE_EXE_LINKER_FLAGS_INIT "${link_flags}")
set(CMAKE_C_STANDARD_LIBRARIES "${link_libraries}")
set(CMAKE_CXX_STANDARD_LIBRARIES "${link_libraries}")

get_property(mirage_in_try_compile GLOBAL PROPERTY IN_TRY_COMPILE)
if(NOT mirage_in_try_compile)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/guest/compile.rsp @ONLY
    CONTENT "@target@ @c_flags@ @cxx_flags@ -std=c++23 -I@mirage_root@\n")
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/guest/link.rsp @ONLY CONTENT "@target@ @link_flags@\n")
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/guest/libraries.rsp @ONLY CONTENT "@link_libraries@\n")
endif()
