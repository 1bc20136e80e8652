// SPDX-License-Identifier: ISC
#include <mirage/target/hvt/guest/boot.hpp>
#include <mirage/target/hvt/net.hpp>

namespace mirage::target::hvt {

static_assert(sizeof(solo5::Piece) == sizeof(Vector) && solo5::piece_limit <= vector_limit,
              "pieces are handed to the tender as they are");

Result<void, StartError> Net::attach_device() noexcept {
  const solo5::ManifestEntry* entry = find_device(name_, solo5::DeviceType::net);
  if (entry == nullptr) return Failure{StartError{"no network '{}' is attached", name_}};
  handle_ = handle_of(*entry);
  vectors_ = granted(solo5::scatter);
  const bool vnet = granted(solo5::vnet_header) && (guest.extension->vnet_devices >> handle_ & 1) != 0;
  if (!attach(entry->net, vectors_, vnet, granted(solo5::segment_udp))) {
    return Failure{StartError::no_memory};
  }
  shard().logger("hvt").info("network '{}': mtu={} offload={}", name_, capabilities().mtu, vnet ? "yes" : "no");
  return {};
}

Task<Result<void, StartError>> Net::start() { co_return attach_device(); }

long Net::read(std::span<const solo5::Piece> pieces) noexcept {
  if (vectors_) {
    NetVectorCall call{handle_, address_of(pieces.data()), pieces.size(), 0, 0, 0};
    hypercall(Hypercall::net_read_vector, call);
    return succeeded(call.result) ? static_cast<long>(call.length) : would_block;
  }
  NetCall call{handle_, address_of(pieces.front().base), pieces.front().size, 0, 0};
  hypercall(Hypercall::net_read, call);
  return succeeded(call.result) ? static_cast<long>(call.length) : would_block;
}

long Net::write(std::span<const solo5::Piece> pieces) noexcept {
  std::int32_t result = 0;
  if (vectors_) {
    NetVectorCall call{handle_, address_of(pieces.data()), pieces.size(), 0, 0, 0};
    hypercall(Hypercall::net_write_vector, call);
    result = call.result;
  } else {
    NetCall call{handle_, address_of(pieces.front().base), pieces.front().size, 0, 0};
    hypercall(Hypercall::net_write, call);
    result = call.result;
  }
  if (result == static_cast<std::int32_t>(CallResult::again)) return would_block;
  return succeeded(result) ? 0 : refused;
}

static_assert(mirage::Net<Net>);

}  // namespace mirage::target::hvt
