// SPDX-License-Identifier: ISC
// Any IP layer behind function pointers, as NetPort is for devices: transports are compiled once and are no templates.
#pragma once

#include <utility>

#include <mirage/module/ip.hpp>

namespace mirage {

/// Refers to the IP layer, which must outlive it.
class IpPort {
 public:
  template <class I>
    requires(!std::same_as<I, IpPort> && IpLayer<I>)  // else it would wrap itself instead of being copied
  explicit IpPort(I& ip) noexcept
      : ip_(&ip),
        route_([](void* self, const IpAddress& source, const IpAddress& destination, std::uint16_t zone) noexcept {
          return static_cast<I*>(self)->route(source, destination, zone);
        }),
        send_([](void* self, const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                 TransmitFrame&& frame) noexcept {
          return static_cast<I*>(self)->send(path, protocol, traffic_class, std::move(frame));
        }),
        new_frame_([](void* self, std::uint32_t header) noexcept { return static_cast<I*>(self)->new_frame(header); }),
        capabilities_([](void* self, std::uint16_t interface) noexcept -> const NetCapabilities& {
          return static_cast<I*>(self)->capabilities(interface);
        }) {
    if constexpr (GroupLayer<I>) {
      join_ = [](void* self, const IpAddress& group, std::uint16_t interface) noexcept {
        return static_cast<I*>(self)->join(group, interface);
      };
      leave_ = [](void* self, const IpAddress& group, std::uint16_t interface) noexcept {
        static_cast<I*>(self)->leave(group, interface);
      };
    }
  }

  [[nodiscard]] Result<Path, IpError> route(const IpAddress& source, const IpAddress& destination,
                                            std::uint16_t zone) const noexcept {
    return route_(ip_, source, destination, zone);
  }
  [[nodiscard]] Result<void, IpError> send(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                                           TransmitFrame&& frame) const noexcept {
    return send_(ip_, path, protocol, traffic_class, std::move(frame));
  }
  [[nodiscard]] MutableSlice new_frame(std::uint32_t header) const noexcept { return new_frame_(ip_, header); }
  [[nodiscard]] const NetCapabilities& capabilities(std::uint16_t interface) const noexcept {
    return capabilities_(ip_, interface);
  }
  /// False for a layer without groups as well.
  [[nodiscard]] bool join(const IpAddress& group, std::uint16_t interface) const noexcept {
    return join_ != nullptr && join_(ip_, group, interface);
  }
  void leave(const IpAddress& group, std::uint16_t interface) const noexcept {
    if (leave_ != nullptr) leave_(ip_, group, interface);
  }

 private:
  void* ip_;
  Result<Path, IpError> (*route_)(void*, const IpAddress&, const IpAddress&, std::uint16_t) noexcept;
  Result<void, IpError> (*send_)(void*, const Path&, std::uint8_t, std::uint8_t, TransmitFrame&&) noexcept;
  MutableSlice (*new_frame_)(void*, std::uint32_t) noexcept;
  const NetCapabilities& (*capabilities_)(void*, std::uint16_t) noexcept;
  bool (*join_)(void*, const IpAddress&, std::uint16_t) noexcept = nullptr;
  void (*leave_)(void*, const IpAddress&, std::uint16_t) noexcept = nullptr;
};

}  // namespace mirage
