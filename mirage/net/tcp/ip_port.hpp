// SPDX-License-Identifier: ISC
// Any IP layer behind four function pointers (the counterpart of NetPort), so that TCP is compiled once, is no template
// over what is below, and runs over the simulator's network as over the real one. Crossed once per segment of up to
// 64 KiB.
#pragma once

#include <utility>

#include <mirage/module/ip.hpp>

namespace mirage::net::tcp {

/// Refers to the IP layer, which must outlive it.
class IpPort {
 public:
  template <IpLayer I>
  explicit IpPort(I& ip) noexcept
      : ip_(&ip),
        route_([](void* layer, const IpAddress& source, const IpAddress& destination, std::uint16_t zone) noexcept {
          return static_cast<I*>(layer)->route(source, destination, zone);
        }),
        send_([](void* layer, const Path& path, std::uint8_t traffic_class, TransmitFrame&& frame) noexcept {
          return static_cast<I*>(layer)->send(path, ip_protocol::tcp, traffic_class, std::move(frame));
        }),
        new_frame_(
            [](void* layer, std::uint32_t header) noexcept { return static_cast<I*>(layer)->new_frame(header); }),
        capabilities_([](void* layer, std::uint16_t interface) noexcept -> const NetCapabilities& {
          return static_cast<I*>(layer)->capabilities(interface);
        }) {}

  [[nodiscard]] Result<Path, IpError> route(const IpAddress& source, const IpAddress& destination,
                                            std::uint16_t zone) const noexcept {
    return route_(ip_, source, destination, zone);
  }
  [[nodiscard]] Result<void, IpError> send(const Path& path, std::uint8_t traffic_class,
                                           TransmitFrame&& frame) const noexcept {
    return send_(ip_, path, traffic_class, std::move(frame));
  }
  [[nodiscard]] MutableSlice new_frame(std::uint32_t header) const noexcept { return new_frame_(ip_, header); }
  [[nodiscard]] const NetCapabilities& capabilities(std::uint16_t interface) const noexcept {
    return capabilities_(ip_, interface);
  }

 private:
  void* ip_;
  Result<Path, IpError> (*route_)(void*, const IpAddress&, const IpAddress&, std::uint16_t) noexcept;
  Result<void, IpError> (*send_)(void*, const Path&, std::uint8_t, TransmitFrame&&) noexcept;
  MutableSlice (*new_frame_)(void*, std::uint32_t) noexcept;
  const NetCapabilities& (*capabilities_)(void*, std::uint16_t) noexcept;
};

}  // namespace mirage::net::tcp
