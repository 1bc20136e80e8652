// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/ip/membership.hpp>
#include <mirage/net/ip/source_selection.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

using wire::GroupRecord;

namespace {

constexpr Duration unsolicited_interval = 1s;  // RFC 3810 9.11
// RFC 3376 8.12, RFC 3810 9.12: robustness times the query interval, and the time for answers.
constexpr Duration older_querier_timeout = GroupTable::robustness * 125s + 10s;
// Of IPv6 and IPv4.
constexpr std::array<IpAddress, 2> router_groups{wire::ipv6_group::all_routers, Ipv4Address::of(224, 0, 0, 2)};
constexpr std::array<IpAddress, 2> report_groups{wire::ipv6_group::all_mld2_routers, Ipv4Address::of(224, 0, 0, 22)};

/// RFC 3810 6: groups of node or interface scope, and all-nodes, are never reported.
bool is_reported(const IpAddress& group) noexcept { return group.is_v4() || (group.octets[1] & 0x0f) > 1; }

}  // namespace

Time Membership::soon(Duration within) noexcept {
  const auto milliseconds = static_cast<std::uint32_t>(within / 1ms);
  return shard_.now() + (milliseconds == 0 ? Duration{0} : 1ms * std::int64_t{shard_.random().below(milliseconds)});
}

/// RFC 3810 6.1: a change is reported at once, with whatever else changes in this turn.
bool Membership::notice() noexcept {
  if (!ip_.groups().take_change()) return false;
  for (const Group& group : ip_.groups()) {
    if (group.reports == GroupTable::robustness) interfaces_[group.interface].changes_at = shard_.now();
  }
  for (std::uint16_t i = 0; ip_.group_filter() != nullptr && i < ip_.interfaces(); ++i) {
    interfaces_[i].changes_at = shard_.now();
  }
  return true;
}

void Membership::query(const IpPacket& packet) noexcept {
  const bool v4 = packet.source.is_v4();
  const Bytes message = packet.payload.empty() ? Bytes{} : packet.payload[0].bytes();
  wire::ChecksumSum sum;  // MLD's has been verified with ICMPv6's
  sum.add(packet.payload);
  const wire::GroupQuery query = v4 ? wire::parse_igmp_query(message) : wire::parse_listener_query(message);
  // RFC 3810 5.1.14 and 6.2: from a router on this link. Reports of other hosts are not for us: since IGMPv3 nobody
  // keeps quiet because another one has spoken.
  if (query.version == 0 || packet.hop_limit != 1 || (v4 ? sum.checksum() != 0 : !packet.source.is_link_local())) {
    ++counters_.drop_no_query;
    return;
  }
  ++counters_.queries;
  Interface& of = interfaces_[packet.interface];
  if (query.version < (v4 ? 3 : 2)) {  // RFC 3376 7.2.1, RFC 3810 8.2.1
    Older& older = of.older[v4];
    // Who speaks version 1 understands nothing else, whatever others say meanwhile.
    const bool oldest = query.version <= older.version || older.until <= shard_.now();
    if (oldest) older = {shard_.now() + older_querier_timeout, query.version};
  }
  Time& answer = v4 ? of.answer_v4_at : of.answer_at;
  answer = std::min(answer, soon(1ms * std::int64_t{std::min<std::uint32_t>(query.within, 60'000)}));
}

Time Membership::deadline() const noexcept {
  Time next = never;
  for (const Interface& of : interfaces_) next = std::min({next, of.changes_at, of.answer_at, of.answer_v4_at});
  return next;
}

void Membership::step(Time now) noexcept {
  for (std::uint16_t i = 0; i < ip_.interfaces(); ++i) {
    Interface& of = interfaces_[i];
    if (of.answer_at <= now) {
      of.answer_at = never;
      report(i, false, Which::all);
    }
    if (of.answer_v4_at <= now) {
      of.answer_v4_at = never;
      report(i, true, Which::all);
    }
    if (of.changes_at > now) continue;
    report(i, false, Which::changed);
    report(i, true, Which::changed);
    of.changes_at = never;
    bool more = ip_.groups().reported(i);
    if (ip_.group_filter() != nullptr && ip_.group_filter()->reported(i)) more = true;
    if (more) of.changes_at = soon(unsolicited_interval) + 1ms;
  }
}

void Membership::report(std::uint16_t interface, bool v4, Which which) noexcept {
  const Older& older = interfaces_[interface].older[v4];
  const bool is_older = older.until > shard_.now();
  if (GroupFilter* filter = ip_.group_filter()) {
    filter->report(*this, interface, v4, which == Which::all, is_older ? older.version : std::uint8_t{0});
  }
  const auto record_size = static_cast<std::uint32_t>(wire::group_record_size(v4));
  [[clang::uninitialized]] TransmitFrame frame;
  std::uint16_t count = 0;
  for (const Group& group : ip_.groups()) {
    const bool due = which == Which::all ? group.members > 0 : group.reports > 0;
    if (!due || group.interface != interface || group.address.is_v4() != v4 || !is_reported(group.address)) continue;
    if (is_older) {
      report_to(older.version, group);
      continue;
    }
    if (count++ == 0) {
      const auto records = static_cast<std::uint32_t>(ip_.groups().size()) * record_size;
      frame.header = ip_.new_frame(static_cast<std::uint32_t>(wire::group_report_size) + records);
      if (!frame.header) return;  // counted by the pool
      (void)frame.header.grow_back(wire::group_report_size);
    }
    const GroupRecord type = which == Which::all ? GroupRecord::is_exclude
                             : group.members > 0 ? GroupRecord::change_to_exclude
                                                 : GroupRecord::change_to_include;
    wire::emit_group_record(frame.header.grow_back(record_size), type, group.address);
  }
  if (count == 0) return;
  wire::emit_group_report(frame.header.bytes(), v4 ? wire::igmp_report : wire::icmpv6_type::listener_report, count);
  send(interface, all_reports(v4), std::move(frame));
}

const IpAddress& Membership::all_reports(bool v4) noexcept { return report_groups[v4]; }

/// RFC 2236 3, RFC 2710 4: to the group itself, and that it was left to all routers; IGMPv1 (RFC 1112) has no word for
/// that. Others' reports do not keep us from ours, as since the newer versions.
void Membership::report_to(std::uint8_t version, const Group& group) noexcept {
  const bool v4 = group.address.is_v4();
  const bool left = group.members == 0;
  const bool oldest = v4 && version == 1;
  if (left && oldest) return;
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = ip_.new_frame(wire::longest_old_report);
  if (!frame.header) return;  // counted by the pool
  const std::uint8_t type = oldest ? wire::igmp1_report : wire::old_report_types[v4][left];
  wire::emit_old_report(frame.header, type, group.address);
  send(group.interface, left ? router_groups[v4] : group.address, std::move(frame));
}

/// RFC 3810 5: from a link-local address (RFC 3590: or none yet), with a router alert and a hop limit of 1.
void Membership::send(std::uint16_t interface, const IpAddress& to, TransmitFrame&& frame) noexcept {
  ++counters_.reports_sent;
  if (to.is_v4()) {
    const MutableBytes message = frame.header.bytes();
    store_big(message, wire::Icmpv4Header::checksum_at, wire::checksum_of(message));
    return ip_.send_group_report(interface, to.v4(), std::move(frame));
  }
  const Address* own = select_source(ip_.addresses(), to, interface, shard_.now());
  const IpAddress from = own != nullptr && own->address().is_link_local() ? own->address() : IpAddress{};
  ip_.send_control(interface, {.source = from, .destination = to, .hop_limit = 1, .router_alert = true},
                   std::move(frame));
}

}  // namespace mirage::net::ip
