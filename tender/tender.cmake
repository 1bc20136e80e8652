# SPDX-License-Identifier: ISC
# For tenders: their compile options and mirage_static_tender(). Included by each target's tender/CMakeLists.txt.
include_guard()
file(GLOB MIRAGE_TENDER_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cpp)
list(FILTER MIRAGE_TENDER_SOURCES EXCLUDE REGEX "_(test|fuzz)\\.cpp$")
set(MIRAGE_TENDER_OPTIONS -fstack-protector-strong -fno-exceptions -fno-rtti -D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_FAST)

# mirage_static_tender(NAME SOURCES...): a static, position-independent executable on musl. glibc's start-up alone costs
# 0.2 ms and more in a virtual machine (it asks CPUID dozens of times, each a trap). libc++ is used by its headers only.
# With sanitizers the tender is an ordinary executable on glibc.
function(mirage_static_tender name)
  if(MIRAGE_SANITIZE)
    add_executable(${name} ${ARGN})
    target_link_libraries(${name} PRIVATE mirage_warnings mirage_tender)
    target_compile_options(${name} PRIVATE ${MIRAGE_TENDER_OPTIONS})
    return()
  endif()
  set(triple ${CMAKE_SYSTEM_PROCESSOR}-linux-musl)
  find_file(MIRAGE_MUSL_RCRT1 rcrt1.o PATHS /usr/lib/${triple} /usr/${triple}/lib NO_DEFAULT_PATH)
  if(NOT MIRAGE_MUSL_RCRT1)
    message(FATAL_ERROR "${name} needs musl's static C library: install the package musl-dev")
  endif()
  get_filename_component(musl ${MIRAGE_MUSL_RCRT1} DIRECTORY)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-resource-dir OUTPUT_VARIABLE resources
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  get_filename_component(libcxx ${resources}/../../../include/c++/v1 ABSOLUTE)
  # The kernel's headers without glibc's beside them.
  set(kernel ${CMAKE_BINARY_DIR}/kernel-headers)
  file(MAKE_DIRECTORY ${kernel})
  file(CREATE_LINK /usr/include/linux ${kernel}/linux SYMBOLIC)
  file(CREATE_LINK /usr/include/asm-generic ${kernel}/asm-generic SYMBOLIC)
  file(CREATE_LINK /usr/include/${CMAKE_SYSTEM_PROCESSOR}-linux-gnu/asm ${kernel}/asm SYMBOLIC)
  add_executable(${name} ${ARGN} ${MIRAGE_TENDER_SOURCES})
  target_link_libraries(${name} PRIVATE mirage_warnings)
  target_compile_options(${name} PRIVATE ${MIRAGE_TENDER_OPTIONS} --target=${triple} -fPIE -O2 -fno-plt
    -ffunction-sections -fdata-sections -nostdlibinc "SHELL:-isystem ${libcxx}" "SHELL:-isystem /usr/include/${triple}"
    "SHELL:-isystem ${kernel}" -D_LIBCPP_HAS_MUSL_LIBC
    -Wno-unused-command-line-argument)
  target_link_options(${name} PRIVATE --target=${triple} -nostdlib -static-pie -fuse-ld=lld
    -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack -Wno-unused-command-line-argument)
  target_link_libraries(${name} PRIVATE ${musl}/rcrt1.o ${musl}/crti.o ${musl}/libc.a ${musl}/crtn.o)
endfunction()
