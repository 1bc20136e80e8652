// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() { return unikernel("hello", main_module("Hello", "main.hpp")()); }
