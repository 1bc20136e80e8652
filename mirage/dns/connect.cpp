// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/dns/connect.hpp>

namespace mirage::dns {

void Candidates::add(const Destination& destination) noexcept {
  Family& family = families_[destination.address.is_v4() ? 0 : 1];
  std::size_t place = family.count;
  while (place > family.taken && goes_before(destination, family.items[place - 1])) --place;
  if (place == maximum) return;
  family.count = std::min(family.count + 1, maximum);
  for (std::size_t i = family.count - 1; i > place; --i) family.items[i] = family.items[i - 1];
  family.items[place] = destination;
}

std::size_t Candidates::next_family() const noexcept {
  for (const std::size_t family : {0U, 1U}) {
    if (families_[family].empty()) return 1 - family;
  }
  if (last_) return 1 - *last_;
  const auto& [v4, v6] = families_;
  return goes_before(v4.items[v4.taken], v6.items[v6.taken]) ? 0 : 1;
}

IpAddress Candidates::take() noexcept {
  last_ = next_family();
  Family& family = families_[*last_];
  return family.items[family.taken++].address;
}

}  // namespace mirage::dns
