// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/ip/membership.hpp>
#include <mirage/net/ip/source_filter.hpp>

namespace mirage::net::ip {

using wire::GroupRecord;

namespace {

bool contains(std::span<const IpAddress> list, const IpAddress& address) noexcept {
  return std::ranges::find(list, address) != list.end();
}

/// A record of a report that has room for it.
void emit(TransmitFrame& frame, GroupRecord type, const IpAddress& group, std::span<const IpAddress> sources) noexcept {
  const bool v4 = group.is_v4();
  const MutableBytes record = frame.header.grow_back(static_cast<std::uint32_t>(wire::group_record_size(v4)));
  wire::emit_group_record(record, type, group, static_cast<std::uint16_t>(sources.size()));
  for (const IpAddress& source : sources) {
    const MutableBytes out = frame.header.grow_back(v4 ? 4 : 16);
    v4 ? store_big(out, 0, source.v4().value) : wire::store_ip(out, 0, source);
  }
}

}  // namespace

bool SourceFilters::Filter::is_reported() const noexcept {
  return mode_reports == 0 && std::ranges::all_of(changes, [](const Change& change) { return change.reports == 0; });
}

SourceFilters::Filter* SourceFilters::find(const IpAddress& group, std::uint16_t interface) noexcept {
  for (std::size_t i = 0; i < count_; ++i) {
    if (filters_[i].group == group && filters_[i].interface == interface) return &filters_[i];
  }
  return nullptr;
}

bool SourceFilters::has(const IpAddress& group, std::uint16_t interface) const noexcept {
  const Filter* filter = const_cast<SourceFilters*>(this)->find(group, interface);
  return filter != nullptr && filter->is_active();
}

bool SourceFilters::accepts(const IpAddress& group, std::uint16_t interface, const IpAddress& source) const noexcept {
  const Filter* filter = const_cast<SourceFilters*>(this)->find(group, interface);
  return filter != nullptr && contains(filter->list(), source) == (filter->mode == FilterMode::include);
}

bool SourceFilters::listen(const IpAddress& group, std::uint16_t interface, FilterMode mode,
                           std::span<const IpAddress> sources) noexcept {
  const bool fits = std::ranges::all_of(
      sources, [&](const IpAddress& source) { return source.is_unicast() && source.is_v4() == group.is_v4(); });
  if (!group.is_multicast() || interface >= ip_.interfaces() || !fits || sources.size() > maximum_sources ||
      ip_.groups().contains(group, interface)) {
    return false;
  }
  Filter* filter = find(group, interface);
  if (filter == nullptr) {
    if (count_ == maximum_groups) return false;
    filter = &filters_[count_++];
    *filter = {};
    filter->group = group;
    filter->interface = interface;
  }
  const Filter before = *filter;
  filter->count = 0;
  for (const IpAddress& source : sources) {
    if (!contains(filter->list(), source)) filter->sources[filter->count++] = source;
  }
  filter->mode = mode;
  if (mode != before.mode) {
    // RFC 3376 5.1: a change of the mode says all; it is said again instead of what was still to be said.
    filter->changes = {};
    filter->mode_reports = GroupTable::robustness;
  } else {
    compare(*filter, before.list());
  }
  ip_.groups().touch();
  return true;
}

/// RFC 3376 5.1: what the lists before and after differ in.
void SourceFilters::compare(Filter& filter, std::span<const IpAddress> before) noexcept {
  const bool include = filter.mode == FilterMode::include;
  for (const IpAddress& source : filter.list()) {
    if (!contains(before, source)) note(filter, source, include);
  }
  for (const IpAddress& source : before) {
    if (!contains(filter.list(), source)) note(filter, source, !include);
  }
}

/// In the place of an earlier change of the source, else of one that was said. There is one: a list has half as many.
void SourceFilters::note(Filter& filter, const IpAddress& source, bool allowed) noexcept {
  auto place = std::ranges::find(filter.changes, source, &Change::source);
  if (place == filter.changes.end()) {
    place = std::ranges::min_element(filter.changes, {}, &Change::reports);
  }
  *place = {source, allowed, GroupTable::robustness};
}

/// Called by Membership, in time: one report for each group.
void SourceFilters::report(Membership& membership, std::uint16_t interface, bool v4, bool all,
                           std::uint8_t older) noexcept {
  for (std::size_t i = 0; i < count_; ++i) {
    const Filter& filter = filters_[i];
    const bool link = v4 || (filter.group.octets[1] & 0x0f) > 1;  // RFC 3810 6: others are never reported
    const bool due = link && (all ? filter.is_active() : !filter.is_reported());
    if (filter.interface != interface || filter.group.is_v4() != v4 || !due) continue;
    if (older != 0) {  // RFC 3376 7.2, RFC 3810 8.2: it knows of no sources
      const std::uint16_t members = filter.is_active() ? 1 : 0;
      membership.report_to(older, {.address = filter.group, .interface = interface, .members = members});
    } else {
      send(membership, filter, all);
    }
  }
}

void SourceFilters::send(Membership& membership, const Filter& filter, bool all) noexcept {
  const bool v4 = filter.group.is_v4();
  const bool include = filter.mode == FilterMode::include;
  std::array<IpAddress, 2 * maximum_sources> allowed;
  std::array<IpAddress, 2 * maximum_sources> blocked;
  std::size_t allowed_count = 0;
  std::size_t blocked_count = 0;
  for (const Change& change : filter.changes) {
    if (change.reports == 0) continue;
    (change.allowed ? allowed[allowed_count++] : blocked[blocked_count++]) = change.source;
  }
  const bool whole = all || filter.mode_reports > 0;
  const std::size_t sources = whole ? filter.count : allowed_count + blocked_count;
  const auto records = static_cast<std::uint16_t>(whole ? 1 : (allowed_count > 0) + (blocked_count > 0));
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = ip_.new_frame(static_cast<std::uint32_t>(
      wire::group_report_size + records * wire::group_record_size(v4) + sources * (v4 ? 4U : 16U)));
  if (!frame.header) return;  // counted by the pool; it is said again
  wire::emit_group_report(frame.header.grow_back(wire::group_report_size),
                          v4 ? wire::igmp_report : wire::icmpv6_type::listener_report, records);
  if (whole) {
    const GroupRecord current = include ? GroupRecord::is_include : GroupRecord::is_exclude;
    const GroupRecord changed = include ? GroupRecord::change_to_include : GroupRecord::change_to_exclude;
    emit(frame, all ? current : changed, filter.group, filter.list());
  } else {
    if (allowed_count > 0) emit(frame, GroupRecord::allow, filter.group, std::span(allowed).first(allowed_count));
    if (blocked_count > 0) emit(frame, GroupRecord::block, filter.group, std::span(blocked).first(blocked_count));
  }
  membership.send(filter.interface, Membership::all_reports(v4), std::move(frame));
}

bool SourceFilters::reported(std::uint16_t interface) noexcept {
  bool more = false;
  for (std::size_t i = 0; i < count_;) {
    Filter& filter = filters_[i];
    if (filter.interface == interface) {
      if (filter.mode_reports > 0) --filter.mode_reports;
      for (Change& change : filter.changes) {
        if (change.reports > 0) --change.reports;
      }
    }
    if (filter.is_reported() && !filter.is_active()) {
      if (&filter != &filters_[--count_]) filter = filters_[count_];
      continue;
    }
    more = more || (filter.interface == interface && !filter.is_reported());
    ++i;
  }
  return more;
}

}  // namespace mirage::net::ip
