// SPDX-License-Identifier: ISC
#include <mirage/module/ip.hpp>
#include <mirage/net/forward/rule.hpp>

namespace mirage::net::forward {

namespace {

/// Takes what stands before `separator` (or all) off the front of `text`.
std::string_view take_until(std::string_view& text, char separator) noexcept {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::string_view take_word(std::string_view& text) noexcept {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return take_until(text, ' ');
}

std::optional<Port> parse_port(std::string_view text) noexcept {
  const auto value = detail::take_decimal(text, 5, 65535);
  if (!value || !text.empty()) return std::nullopt;
  return static_cast<Port>(*value);
}

std::optional<std::uint8_t> parse_protocol(std::string_view word) noexcept {
  if (word == "tcp") return ip_protocol::tcp;
  if (word == "udp") return ip_protocol::udp;
  if (word == "icmp") return ip_protocol::icmp;
  return std::nullopt;
}

bool parse_prefix(std::string_view text, Ipv4Prefix& out) noexcept {
  const auto prefix = Ipv4Prefix::parse(text);
  const auto address = Ipv4Address::parse(text);
  if (prefix) out = *prefix;
  if (address) out = {*address, 32};
  return prefix || address;
}

bool parse_ports(std::string_view text, Rule& rule) noexcept {
  const auto first = parse_port(take_until(text, '-'));
  const auto last = text.empty() ? first : parse_port(text);
  if (!first || !last || *last < *first) return false;
  rule.first_port = *first;
  rule.last_port = *last;
  return true;
}

bool parse_action(std::string_view word, Rule::Action& out) noexcept {
  if (word == "accept") {
    out = Rule::Action::accept;
  } else if (word == "drop") {
    out = Rule::Action::drop;
  } else if (word == "reject") {
    out = Rule::Action::reject;
  } else {
    return false;
  }
  return true;
}

/// One term; an argument is taken off `rest`. False when not understood: `word` is then what was wrong.
bool parse_term(std::string_view& word, std::string_view& rest, Rule& rule) noexcept {
  if (const auto protocol = parse_protocol(word)) {
    rule.protocol = *protocol;
    return true;
  }
  if (word == "inbound" || word == "outbound") {
    rule.opener = word == "inbound" ? Side::outside : Side::inside;
    return true;
  }
  if (word != "from" && word != "to" && word != "port") return false;
  const std::string_view argument = take_word(rest);
  const bool good = word == "port"   ? parse_ports(argument, rule)
                    : word == "from" ? parse_prefix(argument, rule.from)
                                     : parse_prefix(argument, rule.to);
  if (!good) word = argument;
  return good;
}

}  // namespace

Result<RuleList, RuleError> RuleList::parse(std::string_view text) noexcept {
  RuleList list;
  while (!text.empty()) {
    std::string_view rest = take_until(text, ';');
    Rule rule;
    std::string_view word = take_word(rest);
    if (word.empty() && rest.empty()) continue;  // nothing between separators
    if (!parse_action(word, rule.action)) return Failure{RuleError{.word = word}};
    for (word = take_word(rest); !word.empty(); word = take_word(rest)) {
      if (!parse_term(word, rest, rule)) return Failure{RuleError{.word = word}};
    }
    if (!list.add(rule)) return Failure{RuleError{.word = {}, .too_many = true}};
  }
  return list;
}

bool RuleList::add(const Rule& rule) noexcept {
  if (count_ == capacity) return false;
  rules_[count_++] = rule;
  return true;
}

Rule::Action RuleList::decide(const Tuple& tuple, Side opener) const noexcept {
  for (const Rule& rule : rules()) {
    if (rule.matches(tuple, opener)) return rule.action;
  }
  return Rule::Action::accept;
}

std::optional<PortForward> PortForward::parse(std::string_view text) noexcept {
  const auto protocol = parse_protocol(take_until(text, ':'));
  const auto external = parse_port(take_until(text, '='));
  const auto inside = Ipv4Address::parse(take_until(text, ':'));
  const auto port = parse_port(text);
  const bool has_ports = protocol && *protocol != ip_protocol::icmp;
  if (!has_ports || !external || *external == 0 || !inside || !inside->is_unicast() || !port || *port == 0) {
    return std::nullopt;
  }
  return PortForward{*protocol, *external, *inside, *port};
}

}  // namespace mirage::net::forward
