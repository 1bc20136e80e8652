// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() { return unikernel("timers", main_module("Timers", "main.hpp")()); }
