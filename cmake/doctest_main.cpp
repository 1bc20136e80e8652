// SPDX-License-Identifier: ISC
// Both are needed: the precompiled header has read the part of doctest.h in which the second implies the first.
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
