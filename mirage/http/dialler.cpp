// SPDX-License-Identifier: ISC
#include <mirage/http/dialler.hpp>

namespace mirage::http {

ClientError client_error(const ConnectError& error) noexcept {
  if (!error.name) return client_error(error.flow);
  return *error.name == ResolveError::cancelled   ? ClientError::cancelled
         : *error.name == ResolveError::no_memory ? ClientError::no_memory
                                                  : ClientError::not_resolved;
}

std::optional<HostPort> HostPort::of(std::string_view host, Port port) noexcept {
  if (host.size() > maximum) return std::nullopt;
  HostPort made;
  std::ranges::copy(host, made.text_.begin());
  made.size_ = static_cast<std::uint8_t>(host.size());
  made.port_ = port;
  return made;
}

bool HostPort::operator==(const HostPort& other) const noexcept {
  return port_ == other.port_ && equals_ignoring_case(host(), other.host());
}

}  // namespace mirage::http
