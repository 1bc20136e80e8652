// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tender/tap.hpp>

namespace mirage::tender {

namespace {

/// What the guest may leave to the host with vnet headers: checksums, and segmentation of TCP over IPv4 and IPv6.
constexpr unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
/// The same for UDP (Linux 6.2; not in older headers): TUN_F_USO4 and TUN_F_USO6.
constexpr unsigned udp_offloads = 0x20 | 0x40;
constexpr int vnet_header_size = 10;  // virtio_net_hdr without num_buffers
constexpr std::uint16_t default_mtu = 1500;

ifreq request_for(std::string_view name) {
  ifreq request{};
  std::copy_n(name.data(), std::min(name.size(), sizeof request.ifr_name - 1), request.ifr_name);
  return request;
}

/// The type of ioctl(2)'s request: int in musl, unsigned long in glibc.
template <class Request>
Request request_type(int (*)(int, Request, ...));

template <class Argument>
int control(int descriptor, unsigned long request, Argument argument) {
  return ::ioctl(descriptor, static_cast<decltype(request_type(&::ioctl))>(request), argument);
}

/// A socket to ask about interfaces.
Result<File> query_socket() {
  File socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket) {
    return fail("cannot open a socket: ", Errno{errno});
  }
  return socket;
}

std::uint16_t interface_mtu(int socket, std::string_view name) {
  ifreq request = request_for(name);
  if (control(socket, SIOCGIFMTU, &request) != 0 || request.ifr_mtu <= 0) {
    return default_mtu;
  }
  return static_cast<std::uint16_t>(std::min<int>(request.ifr_mtu, std::numeric_limits<std::uint16_t>::max()));
}

/// Asks whether the link is up. Until Linux has seen that it is, some milliseconds after a tap was opened, it drops
/// what is for the guest: the answer to its first question, which is repeated after a second or four. Asked, it looks
/// at once (Linux 6.8; what it says does not matter here).
void notice_link(int socket, std::string_view name) {
  ethtool_value query{.cmd = ETHTOOL_GLINK, .data = 0};
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&query);
  control(socket, SIOCETHTOOL, &request);
}

/// What an attached tap does for its guest.
struct Offloads {
  bool vnet_header = false;
  bool segment_udp = false;
};

/// Switches offloads of an attached tap on or off; says what is in use afterwards.
Result<Offloads> set_offloads(int tap, bool vnet, bool segment_udp) {
  if (!vnet) {
    control(tap, TUNSETOFFLOAD, 0UL);
    return Offloads{};
  }
  int size = vnet_header_size;
  if (control(tap, TUNSETVNETHDRSZ, &size) != 0) {
    return fail("cannot set the size of vnet headers: ", Errno{errno});
  }
  if (segment_udp && control(tap, TUNSETOFFLOAD, offloads | udp_offloads) == 0) {
    return Offloads{true, true};
  }
  if (control(tap, TUNSETOFFLOAD, offloads) != 0) {
    control(tap, TUNSETOFFLOAD, 0UL);  // headers stay, nobody uses them
  }
  return Offloads{true, false};
}

/// Attaches `tap` (an open /dev/net/tun) to the existing interface `name`.
Result<Offloads> attach_interface(int tap, std::string_view name, const WantedOffloads& wanted) {
  unsigned features = 0;
  const bool vnet =
      wanted.vnet_header && control(tap, TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR) != 0;
  const int flags = IFF_TAP | IFF_NO_PI | (vnet ? IFF_VNET_HDR : 0);
  ifreq request = request_for(name);
  request.ifr_flags = static_cast<short>(flags);
  int failed = control(tap, TUNSETIFF, &request);
  if (failed != 0 && errno == EINVAL) {  // the interface was created with several queues
    request = request_for(name);
    request.ifr_flags = static_cast<short>(flags | IFF_MULTI_QUEUE);
    failed = control(tap, TUNSETIFF, &request);
  }
  if (failed != 0) {
    return fail("cannot attach to tap interface ", Quoted{name}, ": ",
                errno == EINVAL ? "it is not a tap" : std::strerror(errno));
  }
  if (std::string_view{request.ifr_name} != name) {  // a name like "tap%d" is a pattern to the kernel
    return fail("there is no tap interface ", Quoted{name});
  }
  return set_offloads(tap, vnet, wanted.segment_udp);
}

/// A socket that knows of an interface `name` that is up.
Result<File> find_interface(std::string_view name) {
  if (name.size() >= IFNAMSIZ) {
    return fail("interface name ", Quoted{name}, " is too long");
  }
  auto socket = query_socket();
  if (!socket) {
    return socket;
  }
  ifreq request = request_for(name);
  if (control(socket->get(), SIOCGIFFLAGS, &request) != 0) {
    return fail("there is no interface ", Quoted{name}, " (ip tuntap add ", name, " mode tap user $USER)");
  }
  if ((request.ifr_flags & IFF_UP) == 0) {
    return fail("interface ", Quoted{name}, " is down (ip link set ", name, " up)");
  }
  return socket;
}

Result<NetPort> open_interface(std::string_view name, const WantedOffloads& wanted) {
  const auto socket = find_interface(name);
  if (!socket) {
    return std::unexpected{socket.error()};
  }
  auto tap = File::open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (!tap) {
    return std::unexpected{tap.error()};
  }
  const auto set = attach_interface(tap->get(), name, wanted);
  if (!set) {
    return std::unexpected{set.error()};
  }
  notice_link(socket->get(), name);
  return NetPort{std::move(*tap), NetKind::tap, set->vnet_header, set->segment_udp, interface_mtu(socket->get(), name)};
}

/// A socket must keep frames apart.
Result<NetPort> use_socket(int descriptor) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      (type != SOCK_SEQPACKET && type != SOCK_DGRAM)) {
    return fail("descriptor ", descriptor, " is a socket without message boundaries");
  }
  return NetPort{File{descriptor}, NetKind::socket, false, false, default_mtu};
}

Result<NetPort> use_tap(int descriptor, const WantedOffloads& wanted) {
  ifreq request{};
  if (control(descriptor, TUNGETIFF, &request) != 0) {
    return fail("descriptor ", descriptor, " is neither a tap nor a packet socket");
  }
  const int flags = request.ifr_flags;
  if ((flags & IFF_TAP) == 0 || (flags & IFF_NO_PI) == 0) {
    return fail("descriptor ", descriptor, " must be a tap opened with IFF_NO_PI");
  }
  const bool vnet = (flags & IFF_VNET_HDR) != 0;
  if (vnet && !wanted.vnet_header) {
    return fail("descriptor ", descriptor, " was opened with IFF_VNET_HDR, which the image does not know");
  }
  const auto set = set_offloads(descriptor, vnet, wanted.segment_udp);
  if (!set) {
    return std::unexpected{set.error()};
  }
  const auto socket = query_socket();
  const auto mtu = socket ? interface_mtu(socket->get(), request.ifr_name) : default_mtu;
  return NetPort{File{descriptor}, NetKind::tap, set->vnet_header, set->segment_udp, mtu};
}

Result<NetPort> use_descriptor(std::string_view source, const WantedOffloads& wanted) {
  const auto given = given_descriptor(source);
  if (!given) {
    return fail("invalid descriptor ", Quoted{source.substr(1)});
  }
  const int descriptor = *given;
  struct stat status{};
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fstat(descriptor, &status) != 0) {
    return fail("descriptor ", descriptor, " is not open");
  }
  if (descriptor <= STDERR_FILENO || (flags & O_ACCMODE) != O_RDWR) {
    return fail("descriptor ", descriptor, " must be above 2 and open for reading and writing");
  }
  if (::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail("cannot make descriptor ", descriptor, " non-blocking: ", Errno{errno});
  }
  return S_ISSOCK(status.st_mode) ? use_socket(descriptor) : use_tap(descriptor, wanted);
}

/// One queue of an interface that was created with several.
Result<int> open_queue(std::string_view name) {
  auto tap = File::open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (!tap) {
    return std::unexpected{tap.error()};
  }
  unsigned features = 0;
  const bool vnet = control(tap->get(), TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR) != 0;
  ifreq request = request_for(name);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE | (vnet ? IFF_VNET_HDR : 0));
  if (control(tap->get(), TUNSETIFF, &request) != 0) {
    if (errno != EINVAL) {
      return fail("cannot attach to tap interface ", Quoted{name}, ": ", Errno{errno});
    }
    return fail(Quoted{name}, " is no tap with several queues (ip tuntap add ", name,
                " mode tap multi_queue user $USER)");
  }
  return tap->release();
}

}  // namespace

std::optional<int> given_descriptor(std::string_view source) {
  int descriptor = -1;
  if (!source.starts_with('@')) {
    return std::nullopt;
  }
  source.remove_prefix(1);
  const auto [end, error] = std::from_chars(source.data(), source.data() + source.size(), descriptor);
  const bool whole = error == std::errc{} && end == source.data() + source.size();
  return whole && descriptor >= 0 ? std::optional{descriptor} : std::nullopt;
}

Result<> open_queues(const char* name, std::span<int> queues) {
  const auto socket = find_interface(name);
  if (!socket) {
    return std::unexpected{socket.error()};
  }
  for (int& queue : queues) {
    const auto opened = open_queue(name);
    if (!opened) {
      return std::unexpected{opened.error()};
    }
    queue = *opened;
  }
  notice_link(socket->get(), name);
  return {};
}

Result<NetPort> open_net(const char* source, const WantedOffloads& wanted) {
  const std::string_view text{source};
  return text.starts_with('@') ? use_descriptor(text, wanted) : open_interface(text, wanted);
}

}  // namespace mirage::tender
