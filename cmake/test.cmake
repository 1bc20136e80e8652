# SPDX-License-Identifier: ISC
add_library(mirage_doctest_main STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/doctest_main.cpp)
# What is tested is optimised as its library says; optimising the checks themselves doubles the time of a build. Half of
# the rest is reading the same headers again: they are compiled once (off with -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON).
target_link_libraries(mirage_doctest_main PRIVATE mirage_warnings)
target_compile_options(mirage_doctest_main PRIVATE -O0)
target_precompile_headers(mirage_doctest_main PRIVATE <doctest/doctest.h> <algorithm> <array> <coroutine> <cstdint>
  <cstring> <deque> <expected> <functional> <map> <memory> <optional> <span> <string> <string_view> <vector>)

# mirage_test(NAME [OPTIMISED] SOURCES... [LIBRARIES ...]): one doctest executable, registered with CTest. OPTIMISED: the checks
# themselves run a million times.
function(mirage_test name)
  cmake_parse_arguments(arg "OPTIMISED" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE mirage_warnings ${arg_LIBRARIES} mirage_doctest_main)
  if(NOT arg_OPTIMISED)
    target_compile_options(${name} PRIVATE -O0)
    target_precompile_headers(${name} REUSE_FROM mirage_doctest_main)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS unit)
endfunction()

# mirage_fuzzer(NAME SOURCE [LIBRARIES ...]): a libFuzzer target, run for MIRAGE_FUZZ_SECONDS by CTest, starting from the
# corpus in test/fuzz/corpus/NAME when there is one. Findings are written below the build folder.
# Two dozen of them share two cores with everything else; -DMIRAGE_FUZZ_SECONDS=3600 for a night.
set(MIRAGE_FUZZ_SECONDS 18 CACHE STRING "Seconds each fuzzer runs in ctest")
function(mirage_fuzzer name source)
  cmake_parse_arguments(arg "" "" "LIBRARIES" ${ARGN})
  add_executable(fuzz_${name} ${source})
  target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  # Debian's fuzzer runtime is built against libstdc++ (clang would rewrite -lstdc++ to -lc++).
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(fuzz_${name} PRIVATE mirage_warnings ${arg_LIBRARIES} -Wl,-l:libstdc++.so.6)
  set(work ${CMAKE_BINARY_DIR}/fuzz/${name})
  file(MAKE_DIRECTORY ${work}/new ${work}/found)
  set(corpus ${PROJECT_SOURCE_DIR}/test/fuzz/corpus/${name})
  if(NOT IS_DIRECTORY ${corpus})
    set(corpus)
  endif()
  add_test(NAME fuzz_${name} COMMAND fuzz_${name} -max_total_time=${MIRAGE_FUZZ_SECONDS} -timeout=10 -rss_limit_mb=2048
    -verbosity=0 -print_final_stats=1 -artifact_prefix=${work}/found/ ${work}/new ${corpus})
  set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 600)
endfunction()
