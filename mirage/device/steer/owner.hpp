// SPDX-License-Identifier: ISC
// Whose is a frame, when several shards share one interface, its addresses and its ports? A function of the frame
// alone, the same on every shard, so nobody keeps a table of flows:
//
//   port of ours from 32768 on (TCP and UDP)    port mod shards: ephemeral ports are chosen so (module/port_share.hpp)
//   any other port                              keyed hash of both addresses and ports
//   fragment                                    that of its datagram's first fragment, which has the ports
//   question to the host (ARP, ND, echo)        whoever gets it answers; an ARP asker's address is news for all
//   everything else                             all: answers, ICMP errors, groups, DHCP's replies
//
// The one state is a small table of datagrams whose first fragment was seen. A fragment that came before it goes to
// all: the owner completes the datagram, at the others the piece ages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <mirage/base/bytes.hpp>
#include <mirage/base/random.hpp>

namespace mirage::device {

/// What IEEE 802.1Q puts behind the addresses.
inline constexpr std::size_t vlan_tag_size = 4;

struct Verdict {
  enum class Kind : std::uint8_t {
    shard,     ///< of `shard`, ours or another's
    here,      ///< whoever has it
    everyone,  ///< a copy for each shard
    news       ///< ours, and the others learn of the ARP asker
  };
  Kind kind = Kind::here;
  std::uint16_t shard = 0;
  bool operator==(const Verdict&) const = default;
};

class Owner {
 public:
  Owner() noexcept = default;
  Owner(std::uint16_t shards, const SipKey& key) noexcept : shards_(shards), key_(key) {}

  /// `first`: the contiguous start of an Ethernet frame, all headers included; of any content. A frame that is cut off
  /// or malformed is whoever's: the stack counts it.
  [[nodiscard]] Verdict of(Bytes first) noexcept;

 private:
  /// Where a packet's transport starts, and which datagram it is a part of.
  struct Transport {
    Bytes addresses;       ///< source and destination
    Bytes segment;         ///< from the transport header on
    Bytes identification;  ///< of a fragment
    std::uint8_t protocol = 0;
    bool whole = true;  ///< not a fragment
    bool first = true;  ///< has the transport header
  };
  [[nodiscard]] Verdict of_v4(Bytes packet) noexcept;
  [[nodiscard]] Verdict of_v6(Bytes packet) noexcept;
  [[nodiscard]] Verdict of_transport(const Transport& transport) noexcept;
  [[nodiscard]] Verdict of_flow(const Transport& transport) const noexcept;
  [[nodiscard]] std::uint16_t spread(std::uint64_t hash) const noexcept;
  [[nodiscard]] std::uint64_t datagram(const Transport& transport) const noexcept;

  struct Datagram {
    std::uint64_t hash = 0;
    Verdict verdict{};
    bool known = false;
  };
  std::uint16_t shards_ = 1;
  SipKey key_{};
  std::array<Datagram, 32> datagrams_{};
};

}  // namespace mirage::device
