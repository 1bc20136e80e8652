// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>

#include <mirage/dns/answer.hpp>

namespace mirage::dns {

using wire::DnsName;
using wire::DnsQuestion;
using wire::DnsRecord;
using wire::DnsView;
namespace dns_type = wire::dns_type;

namespace {

constexpr Duration seconds(std::uint32_t count) noexcept { return std::chrono::seconds{count}; }

bool is(const DnsRecord& record, const DnsName& owner, std::uint16_t type) noexcept {
  return record.type == type && record.of_class == wire::dns_internet && record.owner.same(owner);
}

std::optional<DnsRecord> find(DnsView::Section section, const DnsName& owner, std::uint16_t type) noexcept {
  while (auto record = section.next()) {
    if (is(*record, owner, type)) return record;
  }
  return std::nullopt;
}

std::optional<DnsRecord> find(DnsView::Section section, std::uint16_t type) noexcept {
  while (auto record = section.next()) {
    if (record->type == type && record->of_class == wire::dns_internet) return record;
  }
  return std::nullopt;
}

/// Where the aliases of a reply lead to.
struct Chain {
  DnsName end;
  Duration ttl = maximum_ttl;
  unsigned links = 0;
};

Chain follow(const DnsView& view, const DnsName& name) noexcept {
  Chain chain{.end = name};
  while (chain.links <= maximum_aliases) {
    const auto alias = find(view.answers(), chain.end, dns_type::cname);
    if (!alias) break;
    chain.end = view.name_in(*alias);
    chain.ttl = std::min(chain.ttl, seconds(alias->ttl));
    ++chain.links;
  }
  return chain;
}

/// Bytes of numbers in front of the name in the data of these types; nothing for types without a name.
std::optional<std::size_t> name_offset(std::uint16_t type) noexcept {
  switch (type) {
    case dns_type::ptr:
      return 0;
    case dns_type::mx:
      return 2;
    case dns_type::srv:
      return 6;
    default:
      return std::nullopt;
  }
}

/// A record of the answer that is kept: where its data are.
struct Kept {
  std::size_t at = 0;
  std::size_t size = 0;
  std::uint16_t rank = 0;
};

struct KeptList {
  std::array<Kept, Records::maximum> items;
  std::size_t count = 0;
  std::size_t bytes = 0;  ///< at most, in the form of Records
  Duration ttl = maximum_ttl;
};

/// A name that is not text is not handed to an application: it would be taken for something else.
KeptList collect(const DnsView& view, const DnsName& owner, std::uint16_t type) noexcept {
  KeptList kept;
  const auto offset = name_offset(type);
  auto section = view.answers();
  while (const auto record = section.next()) {
    if (!is(*record, owner, type) || kept.count == Records::maximum) continue;
    if (offset && !view.name_in(*record, *offset).is_text()) continue;
    const std::uint16_t rank =
        offset && *offset > 0 ? load_big<std::uint16_t>(view.data(*record), 0) : std::uint16_t{0};
    kept.items[kept.count++] = {record->data_at, record->data_size, rank};
    kept.bytes += 2 + (offset ? *offset + DnsName::maximum_text : std::max<std::size_t>(record->data_size, 16));
    kept.ttl = std::min(kept.ttl, seconds(record->ttl));
  }
  // By preference (RFC 5321 5.1) or priority (RFC 2782); records of equal rank stay as the server ordered them.
  const auto end = kept.items.begin() + static_cast<std::ptrdiff_t>(kept.count);
  for (auto i = kept.items.begin(); i != end; ++i) {
    std::rotate(
        std::upper_bound(kept.items.begin(), i, *i, [](const Kept& a, const Kept& b) { return a.rank < b.rank; }), i,
        i + 1);
  }
  return kept;
}

void append(MutableSlice& out, Bytes bytes) noexcept {
  std::ranges::copy(bytes, out.grow_back(static_cast<std::uint32_t>(bytes.size())).begin());
}

/// One record in the form of Records.
void append_record(MutableSlice& out, const DnsView& view, const Kept& kept, std::uint16_t type) noexcept {
  const Bytes data = view.message().subspan(kept.at, kept.size);
  const std::size_t length_at = out.size();
  (void)out.grow_back(2);
  if (const auto offset = name_offset(type)) {
    append(out, data.first(*offset));
    std::size_t at = kept.at + *offset;
    std::array<char, DnsName::maximum_text> text;
    const DnsName host = DnsName::read(view.message(), at).value_or(DnsName{});
    append(out, as_bytes({text.data(), host.to_text(text)}));
  } else if (type == dns_type::a) {
    const IpAddress address{Ipv4Address{load_big<std::uint32_t>(data, 0)}};
    append(out, std::as_bytes(std::span(address.octets)));
  } else {
    append(out, data);
  }
  store_big(out.bytes(), length_at, static_cast<std::uint16_t>(out.size() - length_at - 2));
}

/// RFC 2308 5: for as long as the zone's SOA record says; not at all without one. No longer than the aliases hold that
/// lead there.
Answer negative(const DnsView& view, ResolveError error, const Chain& chain) noexcept {
  const auto soa = find(view.authorities(), dns_type::soa);
  if (!soa) return Answer::failure(error);
  return Answer::failure(error,
                         std::min({seconds(soa->ttl), seconds(view.soa_minimum(*soa)), maximum_negative, chain.ttl}));
}

}  // namespace

Answer interpret(const DnsView& view, const DnsQuestion& question, BufferPool& pool) noexcept {
  const std::uint16_t code = view.code();
  if (code != wire::dns_code::no_such_name && code != wire::dns_code::no_error) {
    return Answer::failure(ResolveError::failed, failure_ttl);
  }
  const Chain chain = follow(view, question.name);
  if (code == wire::dns_code::no_such_name) return negative(view, ResolveError::not_found, chain);
  if (chain.links > maximum_aliases) return Answer::failure(ResolveError::failed, failure_ttl);
  const KeptList kept = collect(view, chain.end, question.type);
  Answer answer;
  answer.ttl = std::min(chain.ttl, kept.ttl);
  if (kept.count > 0) {
    MutableSlice form = pool.allocate_sparing(kept.bytes, 0);
    if (!form) return Answer::no_memory();
    for (std::size_t i = 0; i < kept.count; ++i) append_record(form, view, kept.items[i], question.type);
    answer.kind = Answer::Kind::records;
    answer.records = std::move(form).freeze();
    return answer;
  }
  const bool zone_speaks = find(view.authorities(), dns_type::soa).has_value();
  if (chain.links > 0 && !zone_speaks) {
    answer.kind = Answer::Kind::alias;
    answer.alias = chain.end;
    return answer;
  }
  // RFC 2308 2.2: name servers without an SOA are a referral, which is no answer to a stub resolver.
  if (!zone_speaks && find(view.authorities(), dns_type::ns)) return Answer::failure(ResolveError::failed, failure_ttl);
  return negative(view, ResolveError::no_data, chain);
}

}  // namespace mirage::dns
