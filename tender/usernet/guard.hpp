// SPDX-License-Identifier: ISC
#pragma once

#include <bitset>
#include <cstddef>
#include <span>

#include <tender/usernet/options.hpp>

namespace mirage::usernet {

/// Stands between the guest's frames and libslirp, and lets through only what it should have to deal with.
///
/// - Fragments do not pass: the reassembly of libslirp 4.7 writes out of bounds for some of them (found by our tests).
///   Nor do IP options, other protocols than ICMP, TCP and UDP, and foreign source addresses.
/// - This machine's loopback stays out of reach: at 127.0.0.0/8 and 0.0.0.0/8, which libslirp would pass on to
/// connect(),
///   and at the gateway's address, where only answers to forwarded datagrams, DHCP, ICMP and established connections
///   pass (libslirp's own switch for that would cut off forwarded UDP).
class Guard {
 public:
  explicit Guard(const Options& options);

  /// May this frame from the guest pass? It is IPv4 or ARP and has a whole IPv4 or ARP header without options.
  [[nodiscard]] bool permits(std::span<const std::byte> frame) const;
  /// Watches a frame to the guest: whoever sent a datagram from this machine may be answered.
  void note_sent(std::span<const std::byte> frame);

 private:
  [[nodiscard]] bool permits_local(std::span<const std::byte> packet) const;

  Ipv4Prefix network_;
  Ipv4Address host_;
  bool host_loopback_;
  std::bitset<65536> peers_;  // ports of this machine's loopback from which forwarded datagrams came
};

}  // namespace mirage::usernet
