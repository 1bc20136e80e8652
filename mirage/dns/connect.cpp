// SPDX-License-Identifier: ISC
#include <mirage/dns/connect.hpp>

namespace mirage::dns {

void Candidates::add(const Records& records, bool v6) noexcept {
  Family& family = families_[v6 ? 1 : 0];
  for (std::size_t i = 0; i < records.size() && family.count < maximum; ++i) {
    family.items[family.count++] = records.address(i);
  }
}

IpAddress Candidates::take() noexcept {
  const bool v6 = left(v6_next_) > 0 ? v6_next_ : !v6_next_;
  v6_next_ = !v6;
  Family& family = families_[v6 ? 1 : 0];
  return family.items[family.taken++];
}

}  // namespace mirage::dns
