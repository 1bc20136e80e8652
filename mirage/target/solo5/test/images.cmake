# SPDX-License-Identifier: ISC
# mirage_probe_images(TARGET FOLDER SOURCE...): the test images of a target with Solo5's ABI, FOLDER/NAME.TARGET for base, block and
# net, each wanting nothing and wanting every extension: built without sysroot or runtime.
include_guard()
set(mirage_probe_common ${CMAKE_CURRENT_LIST_DIR})
function(mirage_probe_images target folder)
  set(script ${PROJECT_SOURCE_DIR}/mirage/target/${target}/guest/image.ld)
  set(flags --target=${CMAKE_SYSTEM_PROCESSOR}-linux-gnu -std=c++23 -stdlib=libc++ -Os -fno-builtin -fno-pic -fno-pie
      -mno-red-zone -fno-stack-protector -fno-exceptions -fno-rtti -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer
      -fno-asynchronous-unwind-tables -fno-unwind-tables -Wall -Wextra -Wshadow -Wconversion -Werror -I${PROJECT_SOURCE_DIR})
  set(link -nostdlib -static -fuse-ld=lld
      -Wl,--gc-sections,--build-id=none,-z,max-page-size=4096,-z,separate-code,-z,norelro,-T,${script})
  set(sources ${mirage_probe_common}/libc.cpp)
  foreach(source ${ARGN})
    list(APPEND sources ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.hpp ${mirage_probe_common}/*.hpp
       ${PROJECT_SOURCE_DIR}/mirage/target/${target}/*.hpp ${PROJECT_SOURCE_DIR}/mirage/target/solo5/*.hpp)
  file(MAKE_DIRECTORY ${folder})
  set(images)
  foreach(variant base: extended:EXTENDED block:BLOCK block-extended:BLOCK,EXTENDED net:NET net-extended:NET,EXTENDED)
    string(REGEX MATCH "^[^:]*" name ${variant})
    string(REGEX REPLACE "^[^:]*:" "" words ${variant})
    string(REPLACE "," ";" words "${words}")
    list(TRANSFORM words PREPEND -DPROBE_)
    set(image ${folder}/${name}.${target})
    add_custom_command(OUTPUT ${image} DEPENDS ${sources} ${headers} ${script}
      COMMAND ${CMAKE_CXX_COMPILER} ${flags} ${words} ${link} ${sources} -o ${image} COMMAND_EXPAND_LISTS VERBATIM)
    list(APPEND images ${image})
  endforeach()
  add_custom_target(mirage_${target}_test_images ALL DEPENDS ${images})
endfunction()
