// SPDX-License-Identifier: ISC
#include <cstdio>
#include <cstring>

#include <bench/net/tap.hpp>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace bench {

int open_tap(const char* name, bool vnet) {
  const int tap = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request{};
  std::strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (vnet ? IFF_VNET_HDR : 0));
  int header = 10;
  const unsigned long offloads = vnet ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0;
  if (tap < 0 || ::ioctl(tap, TUNSETIFF, &request) != 0 || (vnet && ::ioctl(tap, TUNSETVNETHDRSZ, &header) != 0) ||
      ::ioctl(tap, TUNSETOFFLOAD, offloads) != 0) {
    std::perror(name);
    return -1;
  }
  return tap;
}

}  // namespace bench
