// SPDX-License-Identifier: ISC
// The services behind a bad wire: of the frames that arrive 2 % are lost, 1 % each duplicated, reordered and corrupted.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  const auto wire = library_module<Net>("fault", {netif("service").node()},
                                        {{"seed", std::uint64_t{7}},
                                         {"loss", std::uint64_t{20'000}},
                                         {"duplicate", std::uint64_t{10'000}},
                                         {"reorder", std::uint64_t{10'000}},
                                         {"corrupt", std::uint64_t{10'000}}});
  return unikernel("services", main_module("Services", "main.hpp", takes<Stack>)(stack(wire)));
}
