// SPDX-License-Identifier: ISC
// Configuration and routing of Ip.
#include <algorithm>

#include <mirage/net/ip/ip.hpp>

namespace mirage::net::ip {

Ip::ExpiryTimer::ExpiryTimer(Ip& ip) noexcept
    : Timer([](Timer& timer) noexcept { static_cast<ExpiryTimer&>(timer).owner->expire(); }), owner(&ip) {}

Ip::Ip(Shard& shard, LinkPort link, const IpOptions& options) noexcept
    : shard_(shard),
      link_(link),
      options_(options),
      reassembly_(shard.buffers(), options.reassembly),
      timer_(*this),
      error_limit_(options.error_interval, options.error_burst) {}

void Ip::start() noexcept {
  identification_key_ = shard_.random().next_u32();
  for (auto& counter : identifications_) counter = static_cast<std::uint16_t>(shard_.random().next_u32());
}

void Ip::configure(const Ipv4Prefix& prefix, Ipv4Address gateway, std::uint16_t mtu) noexcept {
  prefix_ = prefix;
  mtu_ = mtu;
  routes_.clear();
  (void)routes_.add({.prefix = prefix});
  if (gateway.is_unspecified()) return;
  (void)routes_.add({.prefix = {}, .gateway = gateway});
  // RFC 3442's point-to-point networks: a gateway outside of the prefix is on the link all the same.
  if (!prefix.contains(gateway)) (void)routes_.add({.prefix = {gateway, 32}});
}

void Ip::deconfigure() noexcept {
  prefix_ = {};
  mtu_ = 0;
  routes_.clear();
}

Result<Path, IpError> Ip::route(const IpAddress& source, const IpAddress& destination) noexcept {
  const bool any_source = source.is_unspecified();
  if (!destination.is_v4() || (!any_source && !source.is_v4())) return fail(IpError::no_route);
  const Ipv4Address target = destination.v4();
  const Ipv4Address own = prefix_.address;
  // The strong host model (RFC 1122 3.3.4.2): only what is ours may be a source.
  if (!any_source && source.v4() != own) return fail(IpError::no_route);
  const bool group = is_group(target);
  if (!group && (own.is_unspecified() || !target.is_unicast() || target.is_loopback() || target == own ||
                 routes_.find(target) == nullptr)) {
    return fail(IpError::no_route);
  }
  const std::uint16_t link_mtu = capabilities().mtu;
  Path path;
  path.source = own;
  path.destination = target;
  path.mtu = mtu_ == 0 ? link_mtu : std::min(mtu_, link_mtu);
  path.pseudo_header_sum = wire::pseudo_header_sum(own, target);
  path.ip_header_size = wire::ipv4_header_size;
  path.is_local_broadcast = is_broadcast(target);
  return path;
}

MutableSlice Ip::new_frame(std::uint32_t transport_header) noexcept {
  return shard_.buffers().allocate(transport_header, header_headroom);
}

Failure<IpError> Ip::fail(IpError error) noexcept {
  switch (error) {
    case IpError::no_route:
      ++counters_.drop_no_route;
      break;
    case IpError::no_memory:
      ++counters_.drop_no_memory;
      break;
    case IpError::too_long:
      ++counters_.drop_too_long;
      break;
    case IpError::queue_full:
      ++counters_.drop_link;
      break;
  }
  return Failure<IpError>{error};
}

}  // namespace mirage::net::ip
