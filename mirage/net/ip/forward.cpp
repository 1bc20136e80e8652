// SPDX-License-Identifier: ISC
// Sending packets of others, for a router.
#include <utility>

#include <mirage/net/ip/ip.hpp>

namespace mirage::net::ip {

Result<void, IpError> Ip::forward(TransmitFrame frame, bool new_source) noexcept {
  const auto view = wire::Ipv4View::parse_quoted(frame.header.bytes());
  if (!view) return fail(IpError::too_long);
  wire::Ipv4Header header = view->value();
  const std::uint16_t mtu = mtu_of(0, true);
  Path path;
  path.destination = header.destination;
  path.mtu = mtu;
  if (new_source && !header.dont_fragment) {
    const std::uint16_t before =
        std::exchange(header.identification, next_identification(header.destination, header.protocol));
    const MutableBytes bytes = frame.header.bytes();
    const auto checksum = load_big<std::uint16_t>(bytes, wire::ipv4_at::checksum);
    store_big(bytes, wire::ipv4_at::checksum, wire::checksum_update(checksum, before, header.identification));
    store_big(bytes, wire::ipv4_at::identification, header.identification);
  }
  const bool segmented = frame.offload.segmentation != Offload::Segmentation::none;
  if (segmented || frame.byte_count() <= mtu) return to_link(path, std::move(frame));
  // RFC 791 3.2: cut it unless it forbids that. Options would have to be copied by their kind: such packets are rare
  // enough to be refused.
  if (header.dont_fragment || view->has_options()) return fail(IpError::too_long);
  frame.header.remove_prefix(wire::ipv4_header_size);
  if (frame.offload.needs_checksum) frame.offload.checksum_start -= wire::ipv4_header_size;
  return send_fragments(path, header, std::move(frame));
}

}  // namespace mirage::net::ip
