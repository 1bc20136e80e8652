// SPDX-License-Identifier: ISC
#include <array>
#include <cstring>
#include <format>
#include <fstream>
#include <optional>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cli/net_interface.hpp>
#include <config/error.hpp>
#include <mirage/base/option.hpp>

namespace mirage::cli {

namespace {

/// The interface's link address as /sys writes it; empty when it has none.
std::string link_address(const std::string& interface) {
  const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return {};
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const bool known = ioctl(descriptor, SIOCGIFHWADDR, &request) == 0;
  close(descriptor);
  std::string out;
  for (std::size_t i = 0; known && i < 6; ++i) {
    out += std::format("{}{:02x}", out.empty() ? "" : ":", static_cast<unsigned char>(request.ifr_hwaddr.sa_data[i]));
  }
  return out;
}

/// Whether a tap was made with several queues; nothing when the kernel does not say. /sys may show another network
/// namespace than ours, with another interface of that name.
std::optional<bool> has_queues(const std::string& interface) {
  constexpr unsigned multi_queue = 0x100;  // IFF_MULTI_QUEUE
  const std::string folder = "/sys/class/net/" + interface;
  std::string address;
  unsigned flags = 0;
  if (!(std::ifstream(folder + "/address") >> address) || address != link_address(interface)) return {};
  if (!(std::ifstream(folder + "/tun_flags") >> std::hex >> flags)) return {};
  return (flags & multi_queue) != 0;
}

}  // namespace

NetInterface parse_net_interface(const plan::Target& target, const std::string& device, const std::string& text) {
  constexpr std::string_view option = ",queues=";
  const unsigned maximum = target.run.maximum_queues;
  const auto comma = text.find(',');
  NetInterface out{.name = text.substr(0, comma)};
  if (comma == std::string::npos) return out;
  if (maximum == 1) {
    throw plan::UsageError("", std::format("'{}' means nothing to an image for {}", text.substr(comma), target.name),
                           std::format("Say --net {}={}.", device, out.name));
  }
  if (out.name.empty() || !text.substr(comma).starts_with(option) ||
      !parse_value(text.substr(comma + option.size()), out.queues) || out.queues == 0 || out.queues > maximum) {
    throw plan::UsageError("", std::format("bad value '{}={}' for --net", device, text),
                           std::format("Say --net {}=INTERFACE,queues=N, with N from 1 to {}.", device, maximum));
  }
  return out;
}

/// QEMU makes an interface that is not there, for as long as it runs: nothing is behind that.
void check_net_interface(const plan::Target& target, const std::string& device, const NetInterface& interface) {
  const std::string& name = interface.name;
  if (name.starts_with('@')) return;
  const bool several = interface.queues > 1;
  const auto make = std::format("ip tuntap add {} mode tap{} user $USER", name, several ? " multi_queue" : "");
  if (if_nametoindex(name.c_str()) == 0) {
    throw plan::Error("", std::format("there is no interface '{}'", name), "Make it: " + make);
  }
  // Those that open it themselves (unix, the tenders) take it either way.
  const auto made_for_several = target.run.maximum_queues > 1 ? has_queues(name) : std::nullopt;
  if (!made_for_several || *made_for_several == several) return;
  if (several) throw plan::Error("", std::format("interface '{}' has one queue", name), "Make it anew: " + make);
  throw plan::Error("", std::format("interface '{}' is made for several queues", name),
                    std::format("Say how many: --net {}={},queues=2.", device, name));
}

}  // namespace mirage::cli
