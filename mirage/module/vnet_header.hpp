// SPDX-License-Identifier: ISC
// struct virtio_net_hdr (VIRTIO 1.2 section 5.1.6) in little-endian byte order: how a virtio device, and a tap behind a
// tender, say what is left to do with a frame.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <mirage/base/address.hpp>
#include <mirage/base/bytes.hpp>
#include <mirage/module/net.hpp>

namespace mirage {

struct VnetHeader {
  static constexpr std::size_t size = 12;
  static constexpr std::size_t legacy_size = 10;  ///< without num_buffers: legacy devices, taps
  static constexpr std::size_t buffers_at = 10;   ///< num_buffers, 16 bits

  /// Precondition: `out` has one of the two sizes.
  static void write(MutableBytes out, const Offload& offload) noexcept {
    std::ranges::fill(out, std::byte{0});
    if (!offload.needs_checksum) return;
    store_little<std::uint8_t>(out, flags_at, needs_checksum);
    store_little<std::uint8_t>(out, type_at, type_of(offload.segmentation));
    store_little(out, header_length_at, offload.header_length);
    store_little(out, segment_size_at, offload.segment_size);
    store_little(out, checksum_start_at, offload.checksum_start);
    store_little(out, checksum_offset_at, offload.checksum_offset);
  }

  /// Nothing when the type is unknown or a field does not fit a frame of `frame_size` bytes.
  [[nodiscard]] static std::optional<Offload> read(Bytes header, std::size_t frame_size) noexcept {
    const auto flags = load_little<std::uint8_t>(header, flags_at);
    const auto segmentation = segmentation_of(load_little<std::uint8_t>(header, type_at));
    if (!segmentation) return std::nullopt;
    const Offload offload{.needs_checksum = (flags & needs_checksum) != 0,
                          .checksum_valid = (flags & data_valid) != 0,
                          .segmentation = *segmentation,
                          .checksum_start = load_little<std::uint16_t>(header, checksum_start_at),
                          .checksum_offset = load_little<std::uint16_t>(header, checksum_offset_at),
                          .segment_size = load_little<std::uint16_t>(header, segment_size_at),
                          .header_length = load_little<std::uint16_t>(header, header_length_at)};
    if (offload.needs_checksum) {
      const std::size_t end = std::size_t{offload.checksum_start} + offload.checksum_offset + sizeof(std::uint16_t);
      if (offload.checksum_start < ethernet_header_size || end > frame_size) return std::nullopt;
    }
    // Segments are rebuilt with the checksum of each: one without the other makes no sense (section 5.1.6.4.1).
    const bool cut = offload.segmentation != Offload::Segmentation::none;
    if (cut && (offload.segment_size == 0 || !offload.needs_checksum)) return std::nullopt;
    return offload;
  }

 private:
  static constexpr std::size_t flags_at = 0;
  static constexpr std::size_t type_at = 1;
  static constexpr std::size_t header_length_at = 2;
  static constexpr std::size_t segment_size_at = 4;
  static constexpr std::size_t checksum_start_at = 6;
  static constexpr std::size_t checksum_offset_at = 8;
  static constexpr std::uint8_t needs_checksum = 1;
  static constexpr std::uint8_t data_valid = 2;
  static constexpr std::uint8_t ecn = 0x80;

  [[nodiscard]] static constexpr std::uint8_t type_of(Offload::Segmentation segmentation) noexcept {
    switch (segmentation) {
      case Offload::Segmentation::tcp4:
        return 1;
      case Offload::Segmentation::tcp6:
        return 4;
      case Offload::Segmentation::udp:
        return 5;
      case Offload::Segmentation::none:
        break;
    }
    return 0;
  }
  [[nodiscard]] static constexpr std::optional<Offload::Segmentation> segmentation_of(std::uint8_t type) noexcept {
    switch (type & ~ecn) {
      case 0:
        return Offload::Segmentation::none;
      case 1:
        return Offload::Segmentation::tcp4;
      case 4:
        return Offload::Segmentation::tcp6;
      case 5:
        return Offload::Segmentation::udp;
      default:
        return std::nullopt;
    }
  }
};

}  // namespace mirage
