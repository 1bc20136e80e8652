// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/http/field.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/url.hpp>

namespace mirage::http {
namespace {

constexpr std::string_view scheme = "http://";

bool is_clean(std::string_view text) noexcept {
  return std::ranges::none_of(text, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u <= 0x20 || u >= 0x7f;
  });
}

/// Whether it begins with "scheme:" (RFC 3986 section 3.1).
bool has_scheme(std::string_view text) noexcept {
  const auto colon = text.find_first_of(":/?#");
  return colon != std::string_view::npos && colon != 0 && text[colon] == ':';
}

}  // namespace

bool Url::append(std::string_view text) noexcept {
  if (text.size() > maximum - size_) return false;
  std::memcpy(&text_[size_], text.data(), text.size());
  size_ += text.size();
  return true;
}

bool Url::set_authority(std::string_view authority) noexcept {
  if (authority.empty() || !is_authority(authority) || !append(authority)) return false;
  const bool bracketed = authority.front() == '[';
  const auto end = bracketed ? authority.find(']') : authority.find(':');
  if (bracketed && end == std::string_view::npos) return false;
  host_at_ = bracketed ? 1 : 0;
  host_size_ = (end == std::string_view::npos ? authority.size() : end) - host_at_;
  std::string_view rest = authority.substr(host_at_ + host_size_ + (bracketed ? 1 : 0));
  if (!rest.empty() && rest.front() != ':') return false;
  if (rest.size() > 1) {
    const auto port = parse_unsigned<Port>(rest.substr(1));
    if (!port || *port == 0) return false;
    port_ = *port;
  }
  if (port_ == 80) size_ -= rest.size();
  authority_size_ = size_;
  return host_size_ != 0;
}

bool Url::set_target(std::string_view target) noexcept {
  target = target.substr(0, target.find('#'));
  const auto question = target.find('?');
  std::string_view path = target.substr(0, question);
  while (!path.empty()) {
    path.remove_prefix(path.front() == '/' ? 1 : 0);
    const auto slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash);
    const bool last = slash == std::string_view::npos;
    if (segment == "..") {
      const auto before = this->target().rfind('/');
      size_ = authority_size_ + (before == std::string_view::npos ? 0 : before);
    } else if (segment != ".") {
      if (!append("/") || !append(segment)) return false;
      continue;
    }
    if (last && !append("/")) return false;
  }
  if (size_ == authority_size_ && !append("/")) return false;
  return question == std::string_view::npos || append(target.substr(question));
}

std::optional<Url> Url::parse(std::string_view text) noexcept {
  if (!equals_ignoring_case(text.substr(0, scheme.size()), scheme) || !is_clean(text)) return std::nullopt;
  text.remove_prefix(scheme.size());
  const auto end = std::min(text.find_first_of("/?#"), text.size());
  Url url;
  if (!url.set_authority(text.substr(0, end)) || !url.set_target(text.substr(end))) return std::nullopt;
  return url;
}

std::optional<Url> Url::resolve(std::string_view reference) const noexcept {
  if (!is_clean(reference)) return std::nullopt;
  if (has_scheme(reference)) return parse(reference);
  if (reference.starts_with("//")) {
    Text<maximum + 8> absolute{"http:{}", reference};
    return absolute.writer().truncated() ? std::nullopt : parse(absolute);
  }
  Url url;
  if (!url.append(authority())) return std::nullopt;
  url.authority_size_ = authority_size_;
  url.host_at_ = host_at_;
  url.host_size_ = host_size_;
  url.port_ = port_;
  // RFC 3986 section 5.2.3: what does not begin with a slash takes the place of the last segment, or of the query.
  const std::string_view own = target();
  const std::string_view path = own.substr(0, own.find('?'));
  Text<2 * maximum> merged;
  if (reference.empty() || reference.front() == '#') {
    merged.writer().append(own);
  } else if (reference.front() == '?') {
    format_to(merged.writer(), "{}{}", path, reference);
  } else if (reference.front() == '/') {
    merged.writer().append(reference);
  } else {
    format_to(merged.writer(), "{}{}", path.substr(0, path.rfind('/') + 1), reference);
  }
  if (!url.set_target(merged)) return std::nullopt;
  return url;
}

bool Url::same_origin(const Url& other) const noexcept {
  return port_ == other.port_ && equals_ignoring_case(host(), other.host());
}

}  // namespace mirage::http
