// SPDX-License-Identifier: ISC
#include <unistd.h>

#include <mirage/target/unix/socket_stack.hpp>

namespace mirage::target::posix {

Task<Result<void, StartError>> SocketStack::start() {
  shard_.add_poller(*this);
  co_return Result<void, StartError>{};
}

std::optional<SourceAddress> SocketStack::source_for(const Endpoint& remote) noexcept {
  const int family = usable_family();
  if (family == AF_INET && !remote.address.is_v4()) return std::nullopt;
  const int descriptor = open_socket(family, SOCK_DGRAM);
  if (descriptor < 0) return std::nullopt;
  // Connecting a UDP socket sends nothing; it asks the host's routes, as getaddrinfo(3) does.
  SocketAddress own = to_socket(family, {address_, 0, 0});
  SocketAddress to = to_socket(family, remote);
  SocketAddress chosen;
  const bool found = (address_.is_unspecified() || ::bind(descriptor, own.get(), own.size) == 0) &&
                     ::connect(descriptor, to.get(), to.size) == 0 &&
                     ::getsockname(descriptor, chosen.get(), &chosen.size) == 0;
  ::close(descriptor);
  if (!found) return std::nullopt;
  const IpAddress address = to_endpoint(chosen).address;
  return SourceAddress{{address, static_cast<std::uint8_t>(address.is_v4() ? 128 : 64)}};
}

}  // namespace mirage::target::posix
