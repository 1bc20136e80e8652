// SPDX-License-Identifier: ISC
// What images want beside the base ABI (negotiation.hpp).
#pragma once

#include <mirage/target/solo5/negotiation.hpp>

namespace mirage::target::spt {

inline constexpr std::uint64_t wanted_by_all = solo5::vnet_header | solo5::many_blocks | solo5::block_flush |
                                               solo5::reseed | solo5::fast_clock | solo5::fault_report |
                                               solo5::scatter | solo5::segment_udp | solo5::block_discard |
                                               solo5::block_limits | solo5::guard_page;

}  // namespace mirage::target::spt
