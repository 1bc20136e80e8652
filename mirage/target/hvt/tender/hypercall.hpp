// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include <sys/types.h>

#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/hvt/tender/block_queue.hpp>
#include <mirage/target/hvt/tender/wait.hpp>
#include <tender/attach.hpp>
#include <tender/error.hpp>
#include <tender/memory.hpp>

namespace mirage::target::hvt {

/// `Result` alone would be the guest side's here.
template <class T>
using TenderResult = mirage::tender::Result<T>;

/// The guest's last call.
struct Halt {
  int status = 0;
  std::optional<HaltCookie> cookie;
};

/// Serves the guest's hypercalls. Every address, length, offset and handle comes from the guest: addresses become
/// memory only through GuestMemory::window, which knows what the tender itself may read or write; structures are copied
/// in before they are looked at.
class Hypercalls {
 public:
  /// The referenced objects outlive this one. `granted`: solo5::Capability bits. `queue`: nullptr when it is not
  /// granted.
  Hypercalls(const mirage::tender::GuestMemory& memory, std::span<const mirage::tender::AttachedDevice> devices,
             const WaitSet& waits, std::uint64_t granted, BlockQueue* queue = nullptr)
      : memory_{memory}, devices_{devices}, waits_{waits}, granted_{granted}, queue_{queue} {}

  /// Serves call `number` with its structure at `address`. Nothing: the guest goes on. An error: the guest broke the
  /// ABI and must end.
  mirage::tender::Result<std::optional<Halt>> call(unsigned number, mirage::tender::GuestAddress address);

 private:
  using Access = mirage::tender::Access;
  using Address = mirage::tender::GuestAddress;
  using Result = mirage::tender::Result<>;
  using Window = std::span<std::byte>;

  Result wall_time(Address address);
  Result puts(Address address);
  Result poll(Address address);
  Result block(Address address, bool write);
  Result net_write(Address address);
  Result net_read(Address address);
  Result net_vector(Address address, bool write);
  [[nodiscard]] std::int32_t written(ssize_t result) const;
  [[nodiscard]] mirage::tender::Result<std::int32_t> received(ssize_t result,
                                                              const mirage::tender::AttachedDevice& net) const;
  struct Pieces;
  mirage::tender::Result<Pieces> load_vectors(const NetVectorCall& call, Access access) const;
  Result flush(Address address);
  Result discard(Address address);
  Result block_queue(Address address);
  Result start(const BlockRequest& request);
  Result entropy(Address address);
  mirage::tender::Result<std::optional<Halt>> halt(Address address);

  [[nodiscard]] const mirage::tender::AttachedDevice* device(std::uint64_t handle, bool net) const;
  [[nodiscard]] mirage::tender::Result<Window> window(std::uint64_t address, std::uint64_t length, Access access) const;
  /// What a device that is written or read does with the guest's memory.
  static constexpr Access data_access(bool write) { return write ? Access::read : Access::write; }
  template <class Call>
  [[nodiscard]] mirage::tender::Result<Call> load(Address address) const;
  /// load, `serve(call) -> Result`, store. Nothing is served when the answer could not be stored.
  template <class Call, class Serve>
  Result with(Address address, Serve serve);

  const mirage::tender::GuestMemory& memory_;
  std::span<const mirage::tender::AttachedDevice> devices_;
  const WaitSet& waits_;
  std::uint64_t granted_;
  BlockQueue* queue_;
};

template <class Call>
TenderResult<Call> Hypercalls::load(Address address) const {
  const auto memory = window(static_cast<std::uint64_t>(address), sizeof(Call), Access::read);
  if (!memory) {
    return std::unexpected{memory.error()};
  }
  Call call;
  std::memcpy(&call, memory->data(), sizeof(call));
  return call;
}

template <class Call, class Serve>
Hypercalls::Result Hypercalls::with(Address address, Serve serve) {
  const auto memory = window(static_cast<std::uint64_t>(address), sizeof(Call), Access::read_write);
  if (!memory) {
    return std::unexpected{memory.error()};
  }
  Call call;
  std::memcpy(&call, memory->data(), sizeof(call));
  const Result served = serve(call);
  if (served) {
    std::memcpy(memory->data(), &call, sizeof(call));
  }
  return served;
}

}  // namespace mirage::target::hvt
