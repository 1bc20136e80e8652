// SPDX-License-Identifier: ISC
#include <mirage/net/forward/port_map.hpp>

namespace mirage::net::forward {

bool PortMap::start(const SipKey& key, std::uint32_t count, OwnPorts* own) noexcept {
  key_ = key;
  own_ = own;
  mappings_.reset(new (std::nothrow) PortMapping[count]);
  if (mappings_ == nullptr || !inside_.start(count) || !external_.start(count)) return false;
  for (std::uint32_t i = count; i-- > 0;) mappings_[i].next_inside = std::exchange(free_, &mappings_[i]);
  return true;
}

std::uint64_t PortMap::hash(std::uint8_t protocol, Ipv4Address address, Port port) const noexcept {
  return hash_of(key_, {.source = address, .source_port = port, .protocol = protocol});
}

PortMapping* PortMap::of_inside(std::uint8_t protocol, Ipv4Address inside, Port port) noexcept {
  return inside_.find(hash(protocol, inside, port), [&](const PortMapping& mapping) {
    return mapping.inside == inside && mapping.inside_port == port && mapping.protocol == protocol;
  });
}

PortMapping* PortMap::of_external(std::uint8_t protocol, Port port) noexcept {
  return external_.find(hash(protocol, {}, port), [&](const PortMapping& mapping) {
    return mapping.external_port == port && mapping.protocol == protocol;
  });
}

bool PortMap::has_external(std::uint8_t protocol, Port port) noexcept {
  const PortMapping* mapping = of_external(protocol, port);
  return mapping != nullptr && (mapping->permanent || !is_own(protocol, port));
}

bool PortMap::is_free(std::uint8_t protocol, Port port) noexcept {
  return of_external(protocol, port) == nullptr && !is_own(protocol, port);
}

/// 0 when every candidate is taken. Bounded: after `attempts` ports the table is as good as full.
Port PortMap::choose(std::uint8_t protocol, Port wanted, std::uint32_t random) noexcept {
  constexpr std::uint32_t pairs = (last_port - first_port + 1U) / 2;
  constexpr std::uint32_t attempts = 512;
  if (wanted >= first_port && wanted <= last_port && is_free(protocol, wanted)) return wanted;
  for (std::uint32_t i = 0; i < attempts; ++i) {
    const auto port = static_cast<Port>(first_port + (random + i) % pairs * 2 + wanted % 2);
    if (is_free(protocol, port)) return port;
  }
  return 0;
}

PortMapping* PortMap::add(const PortMapping& value) noexcept {
  PortMapping* mapping = free_;
  if (mapping == nullptr) return nullptr;
  free_ = mapping->next_inside;
  *mapping = value;
  inside_.insert(hash(value.protocol, value.inside, value.inside_port), *mapping);
  external_.insert(hash(value.protocol, {}, value.external_port), *mapping);
  ++size_;
  return mapping;
}

PortMapping* PortMap::create(std::uint8_t protocol, Ipv4Address inside, Port port, std::uint32_t random) noexcept {
  const Port external = free_ == nullptr ? Port{0} : choose(protocol, port, random);
  if (external == 0) return nullptr;
  return add({.inside = inside, .inside_port = port, .external_port = external, .protocol = protocol});
}

PortMapping* PortMap::forward(std::uint8_t protocol, Port external, Ipv4Address inside, Port port) noexcept {
  if (of_external(protocol, external) != nullptr || of_inside(protocol, inside, port) != nullptr) return nullptr;
  return add(
      {.inside = inside, .inside_port = port, .external_port = external, .protocol = protocol, .permanent = true});
}

void PortMap::release(PortMapping& mapping) noexcept {
  if (--mapping.references > 0 || mapping.permanent) return;
  inside_.remove(hash(mapping.protocol, mapping.inside, mapping.inside_port), mapping);
  external_.remove(hash(mapping.protocol, {}, mapping.external_port), mapping);
  mapping.next_inside = std::exchange(free_, &mapping);
  --size_;
}

}  // namespace mirage::net::forward
