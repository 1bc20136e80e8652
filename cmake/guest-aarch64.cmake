# SPDX-License-Identifier: ISC
set(MIRAGE_ARCH aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/guest-common.cmake)
