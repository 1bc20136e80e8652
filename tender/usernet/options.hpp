// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <mirage/base/address.hpp>
#include <tender/error.hpp>

/// The command line of mirage-usernet.
namespace mirage::usernet {

using tender::Result;

/// A port of this machine that leads to a port of the guest.
struct Forward {
  bool udp = false;
  Ipv4Address host;  ///< where to listen
  Port host_port = 0;
  Port guest_port = 0;
  bool or_next = false;  ///< when the host's is taken, the next one that is free
};

struct Options {
  static constexpr std::size_t forward_limit = 64;

  int descriptor = -1;  ///< our end of the pair of sockets
  int ready = -1;       ///< gets a line, the forwards' ports, when they listen and the sandbox is closed; -1: none
  std::uint32_t mtu = 1500;
  Ipv4Prefix network{Ipv4Address::of(10, 0, 2, 0), 24};
  Ipv4Address host, guest, dns;  ///< .2, .15 and .3 of the network unless given
  bool restricted = false;       ///< no connections from the guest to the outside
  bool host_loopback = false;    ///< the guest reaches this machine's 127.0.0.1 at `host`
  bool statistics = false;
  bool help = false;
  bool version = false;
  std::array<Forward, forward_limit> forward_storage;
  std::size_t forward_count = 0;

  [[nodiscard]] std::span<const Forward> forwards() const { return {forward_storage.data(), forward_count}; }
};

/// Bounds that libslirp sets (IF_MTU_MIN is 68; IPv4 hosts must take 576 bytes, RFC 791).
inline constexpr std::uint32_t minimum_mtu = 576;
inline constexpr std::uint32_t maximum_mtu = 65521;

/// Reads `arguments` (argv without the program's name). Errors are for the user: exit status 2.
Result<Options> parse_options(std::span<char* const> arguments);

/// What --help prints.
extern const char* const help_text;

}  // namespace mirage::usernet
