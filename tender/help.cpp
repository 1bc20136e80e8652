// SPDX-License-Identifier: ISC
#include <unistd.h>

#include <tender/options.hpp>

namespace mirage::tender {

namespace {

constexpr std::string_view head =
    " [OPTION...] [--] IMAGE [ARGUMENT...]\n\n"
    "Runs the unikernel IMAGE and passes it the ARGUMENTs. The exit status is the guest's; 1 is also the tender's own\n"
    "for errors, which print one line.\n\n"
    "Every device that the image declares must be attached:\n"
    "  --net:NAME=IFACE              attach the tap interface IFACE as network NAME; create it first:\n"
    "                                ip tuntap add IFACE mode tap user $USER && ip link set IFACE up\n"
    "  --net:NAME=@FD                the same with an open descriptor: a tap, or a packet socket pair of frames\n"
    "  --net-mac:NAME=ADDRESS        MAC address (default: a random local one)\n"
    "  --net-mtu:NAME=BYTES          MTU (default: the interface's; 1500 for a socket)\n"
    "  --block:NAME=FILE             attach a file or block device as block device NAME\n"
    "  --block-sector-size:NAME=N    its sector size: a power of two from 512 to 32768 (default 512)\n"
    "  --block-direct:NAME=on        past the host's page cache (O_DIRECT)\n\n"
    "Other options:\n"
    "  --mem=MB                      guest memory in MiB, at least 2 (default 512); untouched until used\n";

constexpr std::string_view tail =
    "  --help                        print this text\n"
    "  --version                     print the version\n";

void print(int descriptor, std::string_view text) {
  [[maybe_unused]] const auto written = ::write(descriptor, text.data(), text.size());
}

void print_extra(int descriptor, const ExtraOption& option) {
  constexpr std::size_t column = 30;
  constexpr std::string_view blanks = "                              ";
  print(descriptor, "  ");
  print(descriptor, option.usage);
  print(descriptor, option.usage.size() < column ? blanks.substr(option.usage.size()) : "  ");
  print(descriptor, option.help);
  print(descriptor, "\n");
}

}  // namespace

void print_help(int descriptor, std::string_view program, std::span<const ExtraOption> extra) {
  print(descriptor, "usage: ");
  print(descriptor, program);
  print(descriptor, head);
  for (const ExtraOption& option : extra) {
    print_extra(descriptor, option);
  }
  print(descriptor, tail);
}

}  // namespace mirage::tender
