// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() { return unikernel("block", main_module("Main", "main.hpp", takes<Block>)(block("storage"))); }
