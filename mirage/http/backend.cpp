// SPDX-License-Identifier: ISC
#include <mirage/http/backend.hpp>

namespace mirage::http {
namespace {

/// Whole segments: "/api" is a prefix of "/api/x" and "/api", not of "/apis".
bool has_prefix(std::string_view path, std::string_view prefix) noexcept {
  if (!path.starts_with(prefix)) return false;
  return prefix.empty() || prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/' ||
         path[prefix.size()] == '?';
}

std::optional<Backend> parse_backend(std::string_view text) noexcept {
  Backend backend;
  if (text.starts_with('/')) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    backend.prefix = text.substr(0, equals);
    text.remove_prefix(equals + 1);
  }
  const auto endpoint = parse_endpoint(text);
  if (!endpoint) return std::nullopt;
  backend.endpoint = *endpoint;
  backend.authority = text;
  return backend;
}

}  // namespace

std::optional<Endpoint> parse_endpoint(std::string_view text) noexcept {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_unsigned<Port>(text.substr(colon + 1));
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  if (!address || !port || *port == 0 || bracketed == address->is_v4()) return std::nullopt;
  return Endpoint{*address, *port};
}

void Backends::visit_counters(CounterVisitor& visitor) const noexcept {
  for (const Backend& backend : std::span{backends_}.first(count_)) {
    visitor.counters("backend", counters_of<BackendCounters>(backend));
    visitor.gauge("backend", "up", backend.up ? 1 : 0);
    visitor.gauge("backend", "active", backend.active);
  }
}

bool Backends::parse(std::string_view text) noexcept {
  std::array<Backend, maximum> found{};
  std::size_t count = 0;
  while (true) {
    const auto comma = text.find(',');
    const auto backend = parse_backend(text.substr(0, comma));
    if (!backend || count == maximum) return false;
    found[count++] = *backend;
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  backends_ = found;
  count_ = count;
  next_ = 0;
  return true;
}

Backend* Backends::pick(std::string_view path, Balance balance, const Backend* tried) noexcept {
  std::size_t longest = 0;
  for (const Backend& backend : all()) {
    if (has_prefix(path, backend.prefix) && backend.prefix.size() > longest) longest = backend.prefix.size();
  }
  Backend* best = nullptr;
  std::size_t best_at = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const std::size_t at = (next_ + i) % count_;
    Backend& backend = backends_[at];
    if (!backend.up || &backend == tried || backend.prefix.size() != longest || !has_prefix(path, backend.prefix)) {
      continue;
    }
    if (best != nullptr && (balance == Balance::round_robin || backend.active >= best->active)) continue;
    best = &backend;
    best_at = at;
  }
  if (best != nullptr) next_ = best_at + 1;
  return best;
}

bool Backends::serves(std::string_view path) noexcept {
  for (const Backend& backend : all()) {
    if (has_prefix(path, backend.prefix)) return true;
  }
  return false;
}

bool note_check(Backend& backend, bool good, const HealthThresholds& thresholds) noexcept {
  if (good) backend.refusals = 0;
  if (!good) ++backend.failures;
  if (good == backend.up) {
    backend.streak = 0;
    return false;
  }
  if (++backend.streak < (good ? thresholds.rise : thresholds.fall)) return false;
  backend.up = good;
  backend.streak = 0;
  return true;
}

bool note_refusal(Backend& backend, const HealthThresholds& thresholds) noexcept {
  ++backend.failures;
  if (!backend.up || ++backend.refusals < thresholds.fall) return false;
  backend.up = false;
  backend.streak = backend.refusals = 0;
  return true;
}

}  // namespace mirage::http
