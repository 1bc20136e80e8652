// SPDX-License-Identifier: ISC
#include <mirage/runtime/platform.hpp>
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>
#include <mirage/target/spt/net.hpp>

namespace mirage::target::spt {

namespace {

static_assert(sizeof(solo5::Piece) == sizeof(call::IoVector), "pieces are handed to the kernel as they are");

/// One piece, as small frames are, needs no vector: the host has less to read.
long transfer(call::Number one, call::Number many, int descriptor, std::span<const solo5::Piece> pieces) noexcept {
  const bool vector = pieces.size() > 1;
  const void* memory = vector ? pieces.data() : pieces.front().base;
  const std::size_t size = vector ? pieces.size() : pieces.front().size;
  long result = 0;
  do {
    result = call::make(vector ? many : one, descriptor, call::address(memory), static_cast<long>(size));
  } while (result == call::error_interrupted);
  return result;
}

/// The other end of a socket closed, or the tap was removed: that cannot be mended from here, and the wait set would
/// report it for ever.
constexpr bool gone(long result) noexcept {
  return result == 0 || result == call::error_bad_state || result == call::error_reset;
}

}  // namespace

Result<void, StartError> Net::attach_device() noexcept {
  const solo5::ManifestEntry* entry = find_device(name_, solo5::DeviceType::net);
  if (entry == nullptr) return Failure{StartError{"no network '{}' is attached", name_}};
  descriptor_ = entry->descriptor;
  const solo5::Extension* known = extension();
  const auto index = static_cast<std::size_t>(entry - manifest().data());
  const bool scatter = granted(solo5::scatter);
  const bool vnet = scatter && granted(solo5::vnet_header) && (known->vnet_devices >> index & 1) != 0;
  if (!attach(entry->net, scatter, vnet, granted(solo5::segment_udp))) {
    return Failure{StartError::no_memory};
  }
  shard().logger("spt").info("network '{}': mtu={} offload={}", name_, capabilities().mtu, vnet ? "yes" : "no");
  return {};
}

Task<Result<void, StartError>> Net::start() { co_return attach_device(); }

void Net::end() noexcept {
  shard().logger("spt").error("network '{}' is gone: the host has removed it", name_);
  platform::exit(1);
}

long Net::read(std::span<const solo5::Piece> pieces) noexcept {
  const long result = transfer(call::Number::read, call::Number::readv, descriptor_, pieces);
  if (gone(result)) end();
  return result < 0 ? would_block : result;
}

long Net::write(std::span<const solo5::Piece> pieces) noexcept {
  const long result = transfer(call::Number::write, call::Number::writev, descriptor_, pieces);
  if (result == call::error_again) return would_block;
  return result < 0 ? refused : result;
}

static_assert(mirage::Net<Net>);

}  // namespace mirage::target::spt
