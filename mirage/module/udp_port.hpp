// SPDX-License-Identifier: ISC
// Any Udp behind function pointers, as NetPort is for devices: clients of small protocols are compiled once.
#pragma once

#include <mirage/module/udp.hpp>

namespace mirage {

/// Refers to the Udp, which must outlive it.
class UdpPort {
 public:
  template <class U>
    requires(!std::same_as<U, UdpPort> && Udp<U>)  // else it would wrap itself instead of being copied
  explicit UdpPort(U& udp) noexcept
      : udp_(&udp),
        bind_([](void* self, Port port, DatagramHandler& handler) noexcept {
          return static_cast<U*>(self)->bind(port, handler);
        }),
        unbind_([](void* self, Port port) noexcept { static_cast<U*>(self)->unbind(port); }),
        send_([](void* self, std::span<Datagram> datagrams) noexcept {
          return static_cast<U*>(self)->send(datagrams);
        }) {}
  [[nodiscard]] Result<Port, UdpError> bind(Port port, DatagramHandler& handler) const noexcept {
    return bind_(udp_, port, handler);
  }
  void unbind(Port port) const noexcept { unbind_(udp_, port); }
  std::size_t send(std::span<Datagram> datagrams) const noexcept { return send_(udp_, datagrams); }

 private:
  void* udp_;
  Result<Port, UdpError> (*bind_)(void*, Port, DatagramHandler&) noexcept;
  void (*unbind_)(void*, Port) noexcept;
  std::size_t (*send_)(void*, std::span<Datagram>) noexcept;
};

}  // namespace mirage
