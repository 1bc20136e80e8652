// SPDX-License-Identifier: ISC
// Which handler a UDP port belongs to: open addressing with linear probing, bounded, in place.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/module/udp.hpp>

namespace mirage::net::udp {

class PortTable {
 public:
  static constexpr std::size_t capacity = 256;              ///< a power of two
  static constexpr std::size_t maximum = capacity * 3 / 4;  ///< ports bound at once

  [[nodiscard]] DatagramHandler* find(Port port) const noexcept {
    for (std::size_t i = home(port); places_[i].handler != nullptr; i = next(i)) {
      if (places_[i].port == port) return places_[i].handler;
    }
    return nullptr;
  }
  [[nodiscard]] bool full() const noexcept { return count_ == maximum; }
  /// Precondition: not full, and the port is not there.
  void insert(Port port, DatagramHandler& handler) noexcept {
    std::size_t i = home(port);
    while (places_[i].handler != nullptr) i = next(i);
    places_[i] = {port, &handler};
    ++count_;
  }
  void erase(Port port) noexcept {
    std::size_t hole = home(port);
    while (places_[hole].handler != nullptr && places_[hole].port != port) hole = next(hole);
    if (places_[hole].handler == nullptr) return;
    --count_;
    // Close the gap: move back whatever may not be found behind a hole.
    for (std::size_t i = next(hole); places_[i].handler != nullptr; i = next(i)) {
      const std::size_t distance = (i - home(places_[i].port)) % capacity;
      if (distance >= (i - hole) % capacity) {
        places_[hole] = places_[i];
        hole = i;
      }
    }
    places_[hole] = {};
  }

 private:
  struct Place {
    Port port = 0;
    DatagramHandler* handler = nullptr;
  };
  [[nodiscard]] static constexpr std::size_t home(Port port) noexcept { return port * 40503U >> 8 & (capacity - 1); }
  [[nodiscard]] static constexpr std::size_t next(std::size_t i) noexcept { return (i + 1) & (capacity - 1); }
  std::array<Place, capacity> places_{};
  std::size_t count_ = 0;
};

}  // namespace mirage::net::udp
