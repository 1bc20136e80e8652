# SPDX-License-Identifier: ISC
# mirage_test(NAME SOURCES... [LIBRARIES ...]): one doctest executable, registered with CTest.
add_library(mirage_doctest_main STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/doctest_main.cpp)

function(mirage_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE mirage_warnings ${arg_LIBRARIES} mirage_doctest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS unit)
endfunction()
