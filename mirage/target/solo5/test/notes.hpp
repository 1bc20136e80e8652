// SPDX-License-Identifier: ISC
// The notes of a test image but the ABI's, by what the build defines: PROBE_EXTENDED, PROBE_BLOCK, PROBE_NET. Include
// it in one file of an image.
#pragma once

#include <cstdint>

#include <mirage/target/solo5/manifest.hpp>
#include <mirage/target/solo5/negotiation.hpp>
#include <mirage/target/solo5/note.hpp>

namespace probe {

namespace solo5 = mirage::target::solo5;

[[gnu::section(".interp"), gnu::used]] static const char interpreter[] = "/nonexistent/solo5/";
// Wanting nothing is the base ABI, exactly; wanting everything is more than there is.
#ifdef PROBE_EXTENDED
inline constexpr std::uint64_t wanted = ~std::uint64_t{0};
#else
inline constexpr std::uint64_t wanted = 0;
#endif
[[gnu::section(".note.mirage"), gnu::used]] static const auto mirage_note = solo5::mirage_note(wanted);
#if defined(PROBE_BLOCK)
[[gnu::section(".note.solo5.manifest"), gnu::used]] static const auto manifest =
    solo5::manifest_note<1>({{solo5::DeviceType::block, "storage"}});
#elif defined(PROBE_NET)
[[gnu::section(".note.solo5.manifest"), gnu::used]] static const auto manifest =
    solo5::manifest_note<1>({{solo5::DeviceType::net, "service"}});
#else
[[gnu::section(".note.solo5.manifest"), gnu::used]] static const auto manifest = solo5::manifest_note<0>({});
#endif

}  // namespace probe
