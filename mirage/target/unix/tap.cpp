// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mirage/target/unix/tap.hpp>

namespace mirage::target::posix {

namespace {

constexpr unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
constexpr unsigned long udp_offloads = 0x20 | 0x40;  // TUN_F_USO4, TUN_F_USO6: Linux 6.2, not in older headers
constexpr int vnet_header_size = 10;

ifreq request_for(const char* name) noexcept {
  ifreq request{};
  std::copy_n(name, std::min(std::strlen(name), sizeof request.ifr_name - 1), request.ifr_name);
  return request;
}

/// What is asked about interfaces is asked of some socket.
int query_socket() noexcept { return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

const char* reason() noexcept { return std::strerror(errno); }

/// Asks for the link of an interface whose tap was attached. Until Linux has seen that it is up, some milliseconds
/// after that, it drops what is for us, such as the answer to our first question. Asked, it looks at once (Linux 6.8).
void notice_link(int socket, ifreq request) noexcept {
  ethtool_value query{.cmd = ETHTOOL_GLINK, .data = 0};
  request.ifr_data = reinterpret_cast<char*>(&query);
  ::ioctl(socket, SIOCETHTOOL, &request);
}

std::uint16_t interface_mtu(int socket, ifreq request) noexcept {
  const bool known = ::ioctl(socket, SIOCGIFMTU, &request) == 0;
  return static_cast<std::uint16_t>(known ? std::clamp(request.ifr_mtu, 68, 65535) : 1500);
}

/// What is in use of an attached tap.
FrameDescriptor attached(int tap, const char* name, bool vnet, bool segment_udp) noexcept {
  const ifreq request = request_for(name);
  const int socket = query_socket();
  notice_link(socket, request);
  const std::uint16_t mtu = interface_mtu(socket, request);
  ::close(socket);
  return {tap, vnet, segment_udp, mtu};
}

bool is_down(const char* name) noexcept {
  ifreq request = request_for(name);
  const int socket = query_socket();
  const bool known = ::ioctl(socket, SIOCGIFFLAGS, &request) == 0;
  ::close(socket);
  return known && (request.ifr_flags & IFF_UP) == 0;
}

/// Switches the host's offloads on (or off) for a tap that carries vnet headers (or not). Yields whether UDP is among
/// them.
Result<bool, StartError> set_offloads(int tap, bool vnet) noexcept {
  int size = vnet_header_size;
  if (vnet && ::ioctl(tap, TUNSETVNETHDRSZ, &size) != 0) {
    return Failure{StartError{"cannot set the size of vnet headers: {}", reason()}};
  }
  if (vnet && ::ioctl(tap, TUNSETOFFLOAD, offloads | udp_offloads) == 0) return true;
  // Without them the tap still works: headers stay empty.
  if (!vnet || ::ioctl(tap, TUNSETOFFLOAD, offloads) != 0) ::ioctl(tap, TUNSETOFFLOAD, 0UL);
  return false;
}

Result<FrameDescriptor, StartError> open_interface(const char* name) noexcept {
  if (std::strlen(name) >= IFNAMSIZ || ::if_nametoindex(name) == 0) {
    return Failure{StartError{"there is no interface '{}' (ip tuntap add {} mode tap user $USER)", name, name}};
  }
  if (is_down(name)) return Failure{StartError{"interface '{}' is down (ip link set {} up)", name, name}};
  const int tap = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tap < 0) return Failure{StartError{"cannot open /dev/net/tun: {}", reason()}};
  ifreq request = request_for(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  int failed = ::ioctl(tap, TUNSETIFF, &request);
  if (failed != 0 && errno == EINVAL) {  // the interface was created with several queues
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_MULTI_QUEUE);
    failed = ::ioctl(tap, TUNSETIFF, &request);
  }
  if (failed != 0) {
    const StartError error{"cannot attach to '{}': {}", name, errno == EINVAL ? "it is not a tap" : reason()};
    ::close(tap);
    return Failure{error};
  }
  const auto segment_udp = set_offloads(tap, true);
  if (!segment_udp) {
    ::close(tap);
    return Failure{segment_udp.error()};
  }
  return attached(tap, name, true, *segment_udp);
}

Result<FrameDescriptor, StartError> use_socket(int descriptor) noexcept {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      (type != SOCK_SEQPACKET && type != SOCK_DGRAM)) {
    return Failure{StartError{"descriptor {} is a socket that does not keep frames apart", descriptor}};
  }
  return FrameDescriptor{descriptor, false, false, 1500};
}

Result<FrameDescriptor, StartError> use_tap(int descriptor) noexcept {
  ifreq request{};
  if (::ioctl(descriptor, TUNGETIFF, &request) != 0 || (request.ifr_flags & IFF_TAP) == 0 ||
      (request.ifr_flags & IFF_NO_PI) == 0) {
    return Failure{StartError{"descriptor {} is neither a tap with IFF_NO_PI nor a packet socket", descriptor}};
  }
  const bool vnet = (request.ifr_flags & IFF_VNET_HDR) != 0;
  MIRAGE_TRY(const bool segment_udp, set_offloads(descriptor, vnet));
  return attached(descriptor, request.ifr_name, vnet, segment_udp);
}

Result<FrameDescriptor, StartError> use_descriptor(std::string_view text) noexcept {
  const auto number = parse_unsigned<std::uint16_t>(text);
  struct stat status{};
  if (!number || ::fstat(*number, &status) != 0) return Failure{StartError{"'{}' is not an open descriptor", text}};
  const int descriptor = *number;
  if (descriptor <= STDERR_FILENO) return Failure{StartError{"descriptor {} must be above 2", descriptor}};
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) {
    return Failure{StartError{"cannot make descriptor {} non-blocking: {}", descriptor, reason()}};
  }
  return S_ISSOCK(status.st_mode) ? use_socket(descriptor) : use_tap(descriptor);
}

}  // namespace

Result<FrameDescriptor, StartError> open_frames(const char* source) noexcept {
  return *source == '@' ? use_descriptor(source + 1) : open_interface(source);
}

}  // namespace mirage::target::posix
