// SPDX-License-Identifier: ISC
// Listening to some sources of a group only, or to all but some: the filters of IGMPv3 (RFC 3376 2, 3, 5) and MLDv2
// (RFC 3810 4, 5, 6), one for each group and interface. Whoever wants them makes a SourceFilters beside the stack; an
// image without one links nothing of it. Deliberately not here: several filters of one group, which RFC 3376 3.2
// merges.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <mirage/net/ip/ip.hpp>

namespace mirage::net::ip {

enum class FilterMode : std::uint8_t { include, exclude };

class SourceFilters final : public GroupFilter {
 public:
  static constexpr std::size_t maximum_groups = 16;
  static constexpr std::size_t maximum_sources = 16;

  /// For groups of that IP layer, one for each; the IP layer outlives it.
  explicit SourceFilters(Ip& ip) noexcept : ip_(ip) { ip_.set_group_filter(this); }
  SourceFilters(const SourceFilters&) = delete;
  SourceFilters& operator=(const SourceFilters&) = delete;
  ~SourceFilters() { ip_.set_group_filter(nullptr); }

  /// RFC 3376 2, IPMulticastListen: from now on the group's datagrams from these sources, or from all but these;
  /// include and none ends it. Replaces what was said before; the difference is reported to routers. False at the
  /// bounds, for addresses that do not fit together, and for a group that is joined without a filter (Udp::join()).
  [[nodiscard]] bool listen(const IpAddress& group, std::uint16_t interface, FilterMode mode,
                            std::span<const IpAddress> sources) noexcept;
  [[nodiscard]] bool join(const IpAddress& group, std::initializer_list<IpAddress> sources,
                          std::uint16_t interface = 0) noexcept {
    return listen(group, interface, FilterMode::include, sources);
  }
  void leave(const IpAddress& group, std::uint16_t interface = 0) noexcept {
    (void)listen(group, interface, FilterMode::include, {});
  }

  // GroupFilter
  [[nodiscard]] bool has(const IpAddress& group, std::uint16_t interface) const noexcept override;
  [[nodiscard]] bool accepts(const IpAddress& group, std::uint16_t interface,
                             const IpAddress& source) const noexcept override;
  void report(Membership& membership, std::uint16_t interface, bool v4, bool all, std::uint8_t older) noexcept override;
  [[nodiscard]] bool reported(std::uint16_t interface) noexcept override;

 private:
  /// A source that came or went, and how often that is still to be said (RFC 3376 5.1).
  struct Change {
    IpAddress source;
    bool allowed = false;
    std::uint8_t reports = 0;
  };
  struct Filter {
    IpAddress group;
    std::uint16_t interface = 0;
    FilterMode mode = FilterMode::include;
    std::uint8_t mode_reports = 0;  ///< how often the change of the mode is still to be said; then sources are not
    std::uint8_t count = 0;
    std::array<IpAddress, maximum_sources> sources{};
    std::array<Change, 2 * maximum_sources> changes{};

    [[nodiscard]] std::span<const IpAddress> list() const noexcept { return {sources.data(), count}; }
    /// RFC 3376 3.2: listening to no source is no state at all.
    [[nodiscard]] bool is_active() const noexcept { return mode == FilterMode::exclude || count > 0; }
    [[nodiscard]] bool is_reported() const noexcept;
  };
  [[nodiscard]] Filter* find(const IpAddress& group, std::uint16_t interface) noexcept;
  static void note(Filter& filter, const IpAddress& source, bool allowed) noexcept;
  static void compare(Filter& filter, std::span<const IpAddress> before) noexcept;
  void send(Membership& membership, const Filter& filter, bool all) noexcept;

  Ip& ip_;
  std::array<Filter, maximum_groups> filters_{};
  std::size_t count_ = 0;
};

}  // namespace mirage::net::ip
