// SPDX-License-Identifier: ISC
// The configuration DSL. A project's config.cpp includes this header and defines
//
//     mirage::config::Unikernel configure();
//
// which says what modules the unikernel is made of. `mirage configure` compiles it to a small program of the host,
// runs that, and reads the graph that it prints. Nothing here is linked into an image. Header-only on purpose: it
// needs no library that would have to match the user's compiler flags.
#pragma once

#include <mirage/config/emit.hpp>
#include <mirage/config/key.hpp>
#include <mirage/config/kind.hpp>
#include <mirage/config/module.hpp>
#include <mirage/config/standard.hpp>
#include <mirage/config/unikernel.hpp>
