// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mirage/module/random_mac.hpp>
#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/net.hpp>
#include <mirage/target/unix/tap.hpp>

namespace mirage::target::posix {

namespace {

// solo5::Piece has the layout of struct iovec.
static_assert(sizeof(solo5::Piece) == sizeof(iovec) && offsetof(solo5::Piece, size) == offsetof(iovec, iov_len));

Result<MacAddress, StartError> choose_mac(Environment& environment, std::string_view name) noexcept {
  if (const char* text = find_attachment(Attachment::net_mac, name)) {
    const auto mac = MacAddress::parse(text);
    if (!mac || mac->is_multicast()) return Failure{StartError{"network '{}': bad MAC address '{}'", name, text}};
    return *mac;
  }
  MacAddress mac;
  if (!choose_random_mac(environment, mac)) {
    return Failure{StartError{"network '{}': no entropy for a MAC address", name}};
  }
  return mac;
}

Result<std::uint16_t, StartError> choose_mtu(std::uint16_t found, std::string_view name) noexcept {
  const char* text = find_attachment(Attachment::net_mtu, name);
  if (text == nullptr) return found;
  const auto mtu = parse_unsigned<std::uint16_t>(text);
  if (!mtu || *mtu < 576 || *mtu > 65521) return Failure{StartError{"network '{}': bad MTU '{}'", name, text}};
  return *mtu;
}

bool may_try_again(int error) noexcept { return error == EAGAIN || error == ENOBUFS || error == ENOMEM; }

}  // namespace

Net::~Net() {
  if (descriptor_ < 0) return;
  environment_of(shard()).forget(descriptor_);
  ::close(descriptor_);
}

Result<void, StartError> Net::open() noexcept {
  const char* source = find_attachment(Attachment::net, name_);
  if (source == nullptr) {
    return Failure{StartError{"network '{}' is not attached: add --net:{}=IFACE or --net:{}=@FD", name_, name_, name_}};
  }
  if (use_ == Use::alone && find_shard() != nullptr) {
    return Failure{StartError{"network '{}' is configured for one CPU (mirage configure --cpus=many)", name_}};
  }
  Environment& environment = environment_of(shard());
  auto opened = open_frames(source);
  if (!opened) return Failure{StartError{"network '{}': {}", name_, opened.error().text()}};
  descriptor_ = opened->descriptor;
  MIRAGE_TRY(const MacAddress mac, choose_mac(environment, name_));
  MIRAGE_TRY(const std::uint16_t mtu, choose_mtu(opened->mtu, name_));
  solo5::NetProperties properties{.mac = {}, .mtu = mtu};
  std::ranges::copy(mac.octets, properties.mac);
  if (!attach(properties, true, opened->vnet_header, opened->segment_udp)) {
    return Failure{StartError{"no memory for the buffers of network '{}'", name_}};
  }
  if (!environment.watch(descriptor_, EPOLLIN, nullptr)) {
    return Failure{StartError{"cannot wait for network '{}'", name_}};
  }
  shard().logger("unix").info("network '{}': {} mtu={} offload={}", name_, source, mtu,
                              opened->vnet_header ? "yes" : "no");
  return {};
}

Task<Result<void, StartError>> Net::start() { co_return open(); }

void Net::end() noexcept {
  shard().logger("unix").error("network '{}' is gone: the host has removed it", name_);
  std::_Exit(1);
}

long Net::read(std::span<const solo5::Piece> pieces) noexcept {
  const ssize_t size =
      ::readv(descriptor_, reinterpret_cast<const iovec*>(pieces.data()), static_cast<int>(pieces.size()));
  // The end of a socket's stream, or a tap that was removed. (A peer that sends empty frames ends us too.)
  if (size == 0 || (size < 0 && (errno == EBADFD || errno == ECONNRESET))) end();
  return size < 0 ? would_block : size;
}

long Net::write(std::span<const solo5::Piece> pieces) noexcept {
  const ssize_t size =
      ::writev(descriptor_, reinterpret_cast<const iovec*>(pieces.data()), static_cast<int>(pieces.size()));
  if (size >= 0) return size;
  return may_try_again(errno) ? would_block : refused;
}

static_assert(mirage::Net<Net>);

}  // namespace mirage::target::posix
