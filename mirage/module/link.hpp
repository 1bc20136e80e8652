// SPDX-License-Identifier: ISC
// What the IP layer sees of the link below: packets whose link header is gone, and next hops instead of link addresses.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <utility>

#include <mirage/base/result.hpp>
#include <mirage/module/net.hpp>

namespace mirage {

/// A packet for a network protocol: the link header has been checked and removed.
struct LinkPacket {
  LinkPacket() noexcept {}     // NOLINT: else std::optional would write zeros over the list's storage first
  std::uint16_t protocol = 0;  ///< EtherType
  MacAddress source;
  bool is_broadcast = false;  ///< to a link-layer group address (multicast or broadcast)
  SliceList data;             ///< from the network header on; headers are contiguous in the first slice
  Offload offload;            ///< checksum_start counts from the network header
};

/// queue_full: the device takes no more, for anybody. unresolved: too much waits for link addresses already, so that
/// this frame is lost; others may go.
enum class LinkError : std::uint8_t { queue_full, no_memory, unreachable, unresolved };

/// What neighbour discovery heard about a station on the link (RFC 4861 7.2.3, 7.2.5). ARP is the link's own affair.
struct NeighbourEvidence {
  IpAddress address;
  std::optional<MacAddress> mac;
  bool advertisement = false;  ///< else the source link-layer address of another message, which may add a station
  bool solicited = false;
  bool overrides = false;
  std::uint32_t reachable_time = 0;   ///< milliseconds, as a router advertised them for this link (RFC 4861 6.3.4);
  std::uint32_t retransmit_time = 0;  ///< 0: it said nothing
};

/// A neighbour solicitation that the link wants to have sent; it cannot do so itself, being below IPv6.
struct NeighbourQuestion {
  IpAddress target;
  bool to_group = true;  ///< to the solicited-node group; else to the target, whose link address is to be confirmed
};

/// send(): `frame.header` starts with the network header and has ethernet_header_size bytes in front; checksum_start
/// and header_length count from the network header. The frame goes to the transmit queue, or waits (bounded) until the
/// next hop's link address is known; `unreachable` when the next hop did not answer lately. is_unreachable(): it did
/// not when it was asked last; it is asked again when it is time, so that somebody finds out. send_broadcast(),
/// send_multicast(): to every station, to a multicast group's. The frame is unspecified after failure. The version of
/// `next_hop` and `group` is that of the packet; a broadcast is IPv4. take_question(): to be called until it yields
/// nothing, before the queue is flushed; learn() brings the answers: true for an advertisement that was taken.
template <class L>
concept LinkLayer = requires(L& link, const L& constant, const IpAddress& next_hop, TransmitFrame&& frame,
                             const NeighbourEvidence& evidence) {
  { link.send(next_hop, std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { link.send_broadcast(std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { link.send_multicast(next_hop, std::move(frame)) } noexcept -> std::same_as<Result<void, LinkError>>;
  { link.learn(evidence) } noexcept -> std::same_as<bool>;
  { link.take_question() } noexcept -> std::same_as<std::optional<NeighbourQuestion>>;
  { link.is_unreachable(next_hop) } noexcept -> std::same_as<bool>;
  { constant.capabilities() } noexcept -> std::same_as<const NetCapabilities&>;
};

/// Any link layer behind function pointers, as NetPort is for devices. Refers to the link, which must outlive it.
class LinkPort {
 public:
  template <class L>
    requires(!std::same_as<L, LinkPort> && LinkLayer<L>)  // else it would wrap itself instead of being copied
  explicit LinkPort(L& link) noexcept : link_(&link), calls_(&calls_of<L>) {}

  Result<void, LinkError> send(const IpAddress& next_hop, TransmitFrame&& frame) const noexcept {
    return calls_->send(link_, next_hop, std::move(frame));
  }
  Result<void, LinkError> send_broadcast(TransmitFrame&& frame) const noexcept {
    return calls_->send_broadcast(link_, std::move(frame));
  }
  Result<void, LinkError> send_multicast(const IpAddress& group, TransmitFrame&& frame) const noexcept {
    return calls_->send_multicast(link_, group, std::move(frame));
  }
  bool learn(const NeighbourEvidence& evidence) const noexcept { return calls_->learn(link_, evidence); }
  [[nodiscard]] std::optional<NeighbourQuestion> take_question() const noexcept { return calls_->take_question(link_); }
  /// True for a next hop that did not answer when it was asked last; asks it again when it is time.
  [[nodiscard]] bool is_unreachable(const IpAddress& next_hop) const noexcept {
    return calls_->is_unreachable(link_, next_hop);
  }
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return calls_->capabilities(link_); }

 private:
  struct Calls {
    Result<void, LinkError> (*send)(void*, const IpAddress&, TransmitFrame&&) noexcept;
    Result<void, LinkError> (*send_broadcast)(void*, TransmitFrame&&) noexcept;
    Result<void, LinkError> (*send_multicast)(void*, const IpAddress&, TransmitFrame&&) noexcept;
    bool (*learn)(void*, const NeighbourEvidence&) noexcept;
    std::optional<NeighbourQuestion> (*take_question)(void*) noexcept;
    bool (*is_unreachable)(void*, const IpAddress&) noexcept;
    const NetCapabilities& (*capabilities)(const void*) noexcept;
  };
  template <class L>
  static constexpr Calls calls_of{
      .send = [](void* self, const IpAddress& next_hop,
                 TransmitFrame&& frame) noexcept { return static_cast<L*>(self)->send(next_hop, std::move(frame)); },
      .send_broadcast =
          [](void* self, TransmitFrame&& frame) noexcept {
            return static_cast<L*>(self)->send_broadcast(std::move(frame));
          },
      .send_multicast =
          [](void* self, const IpAddress& group, TransmitFrame&& frame) noexcept {
            return static_cast<L*>(self)->send_multicast(group, std::move(frame));
          },
      .learn = [](void* self,
                  const NeighbourEvidence& evidence) noexcept { return static_cast<L*>(self)->learn(evidence); },
      .take_question = [](void* self) noexcept { return static_cast<L*>(self)->take_question(); },
      .is_unreachable =
          [](void* self, const IpAddress& next_hop) noexcept {
            return static_cast<L*>(self)->is_unreachable(next_hop);
          },
      .capabilities = [](const void* self) noexcept -> const NetCapabilities& {
        return static_cast<const L*>(self)->capabilities();
      }};
  void* link_;
  const Calls* calls_;
};

}  // namespace mirage
