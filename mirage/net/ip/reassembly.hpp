// SPDX-License-Identifier: ISC
// Reassembly of fragments of both IP versions (RFC 791 3.2, RFC 815, RFC 8200 4.5). Bounded in datagrams, fragments and
// pinned bytes, all together. A fragment that overlaps another one makes the whole datagram go (RFC 5722 3 for IPv6,
// RFC 8900 4.3): no attack by ambiguity.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <mirage/base/address.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/time.hpp>

namespace mirage::net::ip {

struct ReassemblyOptions {
  // The oldest makes room, of the interface that has most: one network does not displace what came from another.
  std::uint8_t datagrams = 16;              ///< in reassembly at once
  std::uint32_t pinned_bytes = 256 * 1024;  ///< all together
  Duration timeout = 30s;  ///< from the first fragment that arrives (RFC 1122 3.3.2: 60-120 s; less is safer)
};

struct FragmentKey {
  IpAddress source{};
  IpAddress destination{};
  std::uint32_t identification = 0;
  std::uint8_t protocol = 0;    ///< of IPv4; IPv6 takes that of the first fragment (RFC 8200 4.5)
  std::uint16_t interface = 0;  ///< where it came in: groups and link-local addresses are on every link
  constexpr bool operator==(const FragmentKey&) const = default;
};

struct Fragment {
  FragmentKey key{};
  std::uint16_t offset = 0;  ///< bytes
  bool more = false;
  std::uint8_t protocol = 0;  ///< that the payload of a first fragment starts with
  std::uint8_t ecn = 0;       ///< the two bits of RFC 3168
  SliceList payload;
  Slice original;  ///< the packet with its IP header, for an error about it
};

enum class ReassemblyOutcome : std::uint8_t {
  waiting,
  complete,
  overlap,
  too_many,      ///< more pieces than a datagram may have
  inconsistent,  ///< beyond the end, or two ends
  no_memory,
};

/// A datagram joined again.
struct Reassembled {
  std::uint8_t protocol = 0;
  bool congestion = false;  ///< a fragment has met congestion (RFC 3168 5.3)
  SliceList payload;
  Slice original;  ///< header and start of its first fragment
};

class Reassembly {
 public:
  static constexpr std::size_t maximum_fragments = 64;

  Reassembly(BufferPool& pool, const ReassemblyOptions& options) noexcept : pool_(pool), options_(options) {}
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  /// Takes the fragment; `out` is set when that completes the datagram. Any outcome but waiting ends its reassembly.
  [[nodiscard]] ReassemblyOutcome add(Fragment&& fragment, Time now, Reassembled& out) noexcept;
  /// Ends the reassembly of one datagram whose time is over; false when there is none. `original` is what an error
  /// quotes: empty when its first fragment never came (then none is sent, RFC 1122 3.3.2).
  [[nodiscard]] bool expire(Time now, Slice& original) noexcept;
  [[nodiscard]] Time next_deadline() const noexcept;
  [[nodiscard]] std::size_t pinned() const noexcept { return pinned_; }
  /// Datagrams given up for the bounds.
  [[nodiscard]] std::uint64_t displaced() const noexcept { return displaced_; }

 private:
  struct Piece {
    std::uint16_t offset = 0;
    std::uint16_t size = 0;
    Slice data;
  };
  struct Datagram {
    FragmentKey key{};
    Time deadline = never;
    std::uint32_t end = 0;  ///< bytes of the whole payload; 0 until the last fragment came
    std::uint32_t received = 0;
    std::uint32_t pinned = 0;
    std::uint8_t count = 0;  ///< 0: free
    std::uint8_t protocol = 0;
    std::uint8_t ecn_seen = 0;  ///< a bit for each code point
    Slice original;
    std::array<Piece, maximum_fragments> pieces{};  ///< ordered by offset
  };
  [[nodiscard]] Datagram* find_or_start(const FragmentKey& key, Time now) noexcept;
  [[nodiscard]] Datagram* oldest(std::size_t interface) noexcept;
  [[nodiscard]] Datagram* victim() noexcept;
  [[nodiscard]] ReassemblyOutcome insert(Datagram& datagram, Fragment& fragment) noexcept;
  [[nodiscard]] ReassemblyOutcome join(Datagram& datagram, Reassembled& out) noexcept;
  [[nodiscard]] Slice single(SliceList& payload) noexcept;
  void release(Datagram& datagram) noexcept;

  BufferPool& pool_;
  ReassemblyOptions options_;
  std::unique_ptr<Datagram[]> datagrams_;  // taken when the first fragment arrives: most images never see one
  std::size_t pinned_ = 0;
  std::uint64_t displaced_ = 0;
};

}  // namespace mirage::net::ip
