// SPDX-License-Identifier: ISC
// DNS messages: RFC 1035 section 4, EDNS0 (RFC 6891), AAAA (RFC 3596), SRV (RFC 2782). A DnsView has been walked to its
// last record: names, lengths and the data of the types below are well formed, so that no accessor can fail.
// Deliberately not here: DNSSEC, updates, zone transfers.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/wire/dns_name.hpp>

namespace mirage::wire {

namespace dns_type {
inline constexpr std::uint16_t a = 1;
inline constexpr std::uint16_t ns = 2;
inline constexpr std::uint16_t cname = 5;
inline constexpr std::uint16_t soa = 6;
inline constexpr std::uint16_t ptr = 12;
inline constexpr std::uint16_t mx = 15;
inline constexpr std::uint16_t txt = 16;
inline constexpr std::uint16_t aaaa = 28;
inline constexpr std::uint16_t srv = 33;
inline constexpr std::uint16_t opt = 41;
}  // namespace dns_type

inline constexpr std::uint16_t dns_internet = 1;  ///< the class IN
inline constexpr std::uint16_t dns_port = 53;

/// RFC 1035 4.1.1, RFC 6895 2.3.
namespace dns_code {
inline constexpr std::uint16_t no_error = 0;
inline constexpr std::uint16_t format_error = 1;
inline constexpr std::uint16_t server_failure = 2;
inline constexpr std::uint16_t no_such_name = 3;
inline constexpr std::uint16_t not_implemented = 4;
inline constexpr std::uint16_t refused = 5;
inline constexpr std::uint16_t bad_version = 16;  ///< of EDNS
}  // namespace dns_code

/// Offsets of the header.
namespace dns_at {
inline constexpr std::size_t id = 0;
inline constexpr std::size_t flags = 2;
inline constexpr std::size_t questions = 4;
inline constexpr std::size_t answers = 6;
inline constexpr std::size_t authorities = 8;
inline constexpr std::size_t additionals = 10;
}  // namespace dns_at
inline constexpr std::size_t dns_header_size = 12;

namespace dns_flag {
inline constexpr std::uint16_t response = 0x8000;
inline constexpr std::uint16_t opcode = 0x7800;
inline constexpr std::uint16_t truncated = 0x0200;
inline constexpr std::uint16_t recursion_desired = 0x0100;
inline constexpr std::uint16_t code = 0x000f;
}  // namespace dns_flag

struct DnsQuestion {
  DnsName name;
  std::uint16_t type = 0;
  std::uint16_t of_class = dns_internet;
  constexpr bool operator==(const DnsQuestion&) const = default;
};

/// A resource record of a message; its data stay there.
struct DnsRecord {
  DnsName owner;
  std::uint16_t type = 0;
  std::uint16_t of_class = 0;
  std::uint32_t ttl = 0;  ///< seconds
  std::size_t data_at = 0;
  std::size_t data_size = 0;

  /// The record at `at` of a message, which moves behind it; nothing when it is cut off. The data are not looked at.
  [[nodiscard]] static constexpr std::optional<DnsRecord> read(Bytes message, std::size_t& at) noexcept {
    const auto owner = DnsName::read(message, at);
    constexpr std::size_t fixed = 10;
    if (!owner || message.size() - at < fixed) return std::nullopt;
    DnsRecord record{*owner,
                     load_big<std::uint16_t>(message, at),
                     load_big<std::uint16_t>(message, at + 2),
                     load_big<std::uint32_t>(message, at + 4),
                     at + fixed,
                     load_big<std::uint16_t>(message, at + 8)};
    if (record.type != dns_type::opt && record.ttl > 0x7fffffff) record.ttl = 0;  // RFC 2181 8
    at += fixed;
    if (record.data_size > message.size() - at) return std::nullopt;
    at += record.data_size;
    return record;
  }
};

/// What is needed to tell whose answer it is, and readable even where truncation has cut the rest: header and question.
struct DnsHead {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::optional<DnsQuestion> question;  ///< absent in some servers' FORMERR

  [[nodiscard]] constexpr bool is_response() const noexcept { return (flags & dns_flag::response) != 0; }
  [[nodiscard]] constexpr bool is_query_opcode() const noexcept { return (flags & dns_flag::opcode) == 0; }
  [[nodiscard]] constexpr bool is_truncated() const noexcept { return (flags & dns_flag::truncated) != 0; }
  [[nodiscard]] constexpr std::uint16_t code() const noexcept { return flags & dns_flag::code; }

  /// Nothing for more than one question (RFC 9619) or one that is malformed.
  [[nodiscard]] static constexpr std::optional<DnsHead> parse(Bytes message) noexcept {
    if (message.size() < dns_header_size) return std::nullopt;
    DnsHead head{load_big<std::uint16_t>(message, dns_at::id), load_big<std::uint16_t>(message, dns_at::flags), {}};
    const auto questions = load_big<std::uint16_t>(message, dns_at::questions);
    if (questions > 1) return std::nullopt;
    if (questions == 0) return head;
    std::size_t at = dns_header_size;
    const auto name = DnsName::read(message, at);
    if (!name || message.size() - at < 4) return std::nullopt;
    head.question = DnsQuestion{*name, load_big<std::uint16_t>(message, at), load_big<std::uint16_t>(message, at + 2)};
    return head;
  }
};

/// A checked message.
class DnsView {
 public:
  /// The records of one section, one after the other.
  class Section {
   public:
    constexpr Section(Bytes message, std::size_t at, std::uint16_t count) noexcept
        : message_(message), at_(at), left_(count) {}
    /// Nothing at the end.
    [[nodiscard]] constexpr std::optional<DnsRecord> next() noexcept {
      if (left_ == 0) return std::nullopt;
      --left_;
      return DnsRecord::read(message_, at_);
    }

   private:
    Bytes message_;
    std::size_t at_;
    std::uint16_t left_;
  };

  [[nodiscard]] static constexpr std::optional<DnsView> parse(Bytes message) noexcept {
    const auto head = DnsHead::parse(message);
    if (!head) return std::nullopt;
    DnsView view{message, *head};
    std::size_t at = dns_header_size;
    if (head->question) at += view.question_size();
    view.answers_at_ = at;
    if (!view.walk(at, dns_at::answers)) return std::nullopt;
    view.authorities_at_ = at;
    if (!view.walk(at, dns_at::authorities) || !view.walk(at, dns_at::additionals)) return std::nullopt;
    return view;
  }

  [[nodiscard]] constexpr Bytes message() const noexcept { return message_; }
  [[nodiscard]] constexpr const DnsHead& head() const noexcept { return head_; }
  /// With the upper bits from EDNS (RFC 6891 6.1.3).
  [[nodiscard]] constexpr std::uint16_t code() const noexcept {
    return static_cast<std::uint16_t>(head_.code() | extended_code_ << 4);
  }
  [[nodiscard]] constexpr bool has_edns() const noexcept { return has_edns_; }
  [[nodiscard]] constexpr Section answers() const noexcept {
    return {message_, answers_at_, load_big<std::uint16_t>(message_, dns_at::answers)};
  }
  [[nodiscard]] constexpr Section authorities() const noexcept {
    return {message_, authorities_at_, load_big<std::uint16_t>(message_, dns_at::authorities)};
  }
  /// The name at `offset` of a record's data. Precondition: the record's type has one there.
  [[nodiscard]] constexpr DnsName name_in(const DnsRecord& record, std::size_t offset = 0) const noexcept {
    std::size_t at = record.data_at + offset;
    return DnsName::read(message_, at).value_or(DnsName{});
  }
  [[nodiscard]] constexpr Bytes data(const DnsRecord& record) const noexcept {
    return message_.subspan(record.data_at, record.data_size);
  }
  /// The last field of an SOA record (RFC 1035 3.3.13). Precondition: it is one.
  [[nodiscard]] constexpr std::uint32_t soa_minimum(const DnsRecord& record) const noexcept {
    return load_big<std::uint32_t>(message_, record.data_at + record.data_size - 4);
  }

 private:
  constexpr DnsView(Bytes message, const DnsHead& head) noexcept : message_(message), head_(head) {}
  [[nodiscard]] constexpr std::size_t question_size() const noexcept {
    std::size_t at = dns_header_size;
    (void)DnsName::read(message_, at);
    return at + 4 - dns_header_size;
  }
  [[nodiscard]] constexpr bool walk(std::size_t& at, std::size_t count_at) noexcept {
    for (auto left = load_big<std::uint16_t>(message_, count_at); left > 0; --left) {
      const auto record = DnsRecord::read(message_, at);
      if (!record || !is_well_formed(*record)) return false;
      if (record->type != dns_type::opt) continue;
      // RFC 6891 6.1.1: at most one, in the additional section, of the root.
      if (has_edns_ || count_at != dns_at::additionals || !record->owner.is_root()) return false;
      has_edns_ = true;
      extended_code_ = static_cast<std::uint8_t>(record->ttl >> 24);
    }
    return true;
  }
  /// The data end exactly where the record says. Other types and classes are opaque.
  [[nodiscard]] constexpr bool is_well_formed(const DnsRecord& record) const noexcept {
    if (record.of_class != dns_internet) return true;
    switch (record.type) {
      case dns_type::a:
        return record.data_size == 4;
      case dns_type::aaaa:
        return record.data_size == 16;
      case dns_type::ns:
      case dns_type::cname:
      case dns_type::ptr:
        return has_names(record, 0, 1, 0);
      case dns_type::mx:
        return has_names(record, 2, 1, 0);
      case dns_type::srv:
        return has_names(record, 6, 1, 0);
      case dns_type::soa:
        return has_names(record, 0, 2, 20);
      case dns_type::txt:
        return has_strings(record);
      default:
        return true;
    }
  }
  [[nodiscard]] constexpr bool has_names(const DnsRecord& record, std::size_t before, unsigned count,
                                         std::size_t behind) const noexcept {
    const std::size_t end = record.data_at + record.data_size;
    if (record.data_size < before) return false;
    std::size_t at = record.data_at + before;
    for (; count > 0; --count) {
      if (!DnsName::read(message_.first(end), at)) return false;
    }
    return end - at == behind;
  }
  /// RFC 1035 3.3.14: one or more strings with their lengths.
  [[nodiscard]] constexpr bool has_strings(const DnsRecord& record) const noexcept {
    std::size_t at = record.data_at;
    const std::size_t end = at + record.data_size;
    while (at < end) {
      const std::size_t length = load_big<std::uint8_t>(message_, at);
      if (length >= end - at) return false;
      at += 1 + length;
    }
    return record.data_size > 0;
  }
  Bytes message_;
  DnsHead head_;
  std::size_t answers_at_ = 0;
  std::size_t authorities_at_ = 0;
  std::uint8_t extended_code_ = 0;
  bool has_edns_ = false;
};

/// A stub resolver's question.
struct DnsQuery {
  std::uint16_t id = 0;
  DnsQuestion question;
  std::uint16_t udp_size = 0;  ///< what we take by UDP, told by EDNS; 0: without EDNS

  static constexpr std::size_t maximum_size = dns_header_size + DnsName::maximum + 4 + 11;

  /// Bytes written. Precondition: `out` has maximum_size.
  [[nodiscard]] constexpr std::size_t emit(MutableBytes out) const noexcept {
    for (std::byte& byte : out.first(dns_header_size)) byte = std::byte{0};
    store_big(out, dns_at::id, id);
    store_big(out, dns_at::flags, dns_flag::recursion_desired);
    store_big(out, dns_at::questions, std::uint16_t{1});
    std::size_t at = dns_header_size;
    for (const std::uint8_t octet : question.name.octets()) out[at++] = std::byte{octet};
    store_big(out, at, question.type);
    store_big(out, at + 2, question.of_class);
    at += 4;
    if (udp_size == 0) return at;
    // RFC 6891 6.1.2: root, OPT, our size as the class; version 0, no flags, no options.
    store_big(out, dns_at::additionals, std::uint16_t{1});
    out[at] = std::byte{0};
    store_big(out, at + 1, dns_type::opt);
    store_big(out, at + 3, udp_size);
    store_big(out, at + 5, std::uint32_t{0});
    store_big(out, at + 9, std::uint16_t{0});
    return at + 11;
  }
};

}  // namespace mirage::wire
