// SPDX-License-Identifier: ISC
// Which external port an inside endpoint has: one for all destinations (endpoint-independent mapping, RFC 4787 REQ-1),
// kept while any flow uses it. Bounded; pure state without I/O.
#pragma once

#include <cstdint>
#include <memory>

#include <mirage/net/forward/chains.hpp>
#include <mirage/net/forward/tuple.hpp>

namespace mirage::net::forward {

struct PortMapping {
  Ipv4Address inside{};
  Port inside_port = 0;
  Port external_port = 0;
  std::uint8_t protocol = 0;
  bool permanent = false;        ///< a port forward: stays, and lets strangers in
  std::uint32_t references = 0;  ///< flows; the mapping goes with the last
  PortMapping* next_inside = nullptr;
  PortMapping* next_external = nullptr;
};

/// What the router's own stack listens to on its outside address. A host that were given such a port as its external
/// one would get what comes for the service (CVE-2021-3773).
class OwnPorts {
 public:
  [[nodiscard]] virtual bool uses(std::uint8_t protocol, Port port) noexcept = 0;

 protected:
  ~OwnPorts() = default;
};

class PortMap {
 public:
  /// Ports given out. The stack's own ephemeral ports lie above, so the two never meet.
  static constexpr Port first_port = 1024;
  static constexpr Port last_port = 32767;

  /// Room for `count` mappings; false without memory. `own` may be null.
  [[nodiscard]] bool start(const SipKey& key, std::uint32_t count, OwnPorts* own) noexcept;
  [[nodiscard]] PortMapping* of_inside(std::uint8_t protocol, Ipv4Address inside, Port port) noexcept;
  [[nodiscard]] PortMapping* of_external(std::uint8_t protocol, Port port) noexcept;
  /// Whether what comes for the port, and belongs to no flow, is the mapping's, if there is one: also a service that
  /// came later than the mapping gets what is its own.
  [[nodiscard]] bool has_external(std::uint8_t protocol, Port port) noexcept;
  /// A mapping without references: keeps the port if it is free and in range, else takes another of the same parity
  /// (RFC 4787 REQ-4), starting at a random one. Null when there is no room or no free port.
  [[nodiscard]] PortMapping* create(std::uint8_t protocol, Ipv4Address inside, Port port,
                                    std::uint32_t random) noexcept;
  /// A permanent one with this external port; null when the port or the endpoint is taken, or without room.
  [[nodiscard]] PortMapping* forward(std::uint8_t protocol, Port external, Ipv4Address inside, Port port) noexcept;
  void acquire(PortMapping& mapping) noexcept { ++mapping.references; }
  void release(PortMapping& mapping) noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] std::uint64_t hash(std::uint8_t protocol, Ipv4Address address, Port port) const noexcept;
  [[nodiscard]] bool is_own(std::uint8_t protocol, Port port) const noexcept {
    return own_ != nullptr && own_->uses(protocol, port);
  }
  [[nodiscard]] bool is_free(std::uint8_t protocol, Port port) noexcept;
  [[nodiscard]] Port choose(std::uint8_t protocol, Port wanted, std::uint32_t random) noexcept;
  [[nodiscard]] PortMapping* add(const PortMapping& value) noexcept;
  SipKey key_{};
  OwnPorts* own_ = nullptr;
  std::unique_ptr<PortMapping[]> mappings_;  // NOLINT: sized at run time
  PortMapping* free_ = nullptr;              ///< chained through next_inside
  std::uint32_t size_ = 0;
  Chains<PortMapping, &PortMapping::next_inside> inside_;
  Chains<PortMapping, &PortMapping::next_external> external_;
};

}  // namespace mirage::net::forward
