// SPDX-License-Identifier: ISC
#include <array>

#include <mirage/net/tcp/cookie.hpp>
#include <mirage/net/tcp/table.hpp>
#include <mirage/net/tcp/tcb.hpp>
#include <mirage/net/tcp/timestamps.hpp>

namespace mirage::net::tcp {

namespace {

/// What peers announce: half of the internet is 1460 or 1440, the rest loses little.
constexpr std::array<std::uint16_t, 8> segment_sizes{
    constant::smallest_segment_size, constant::default_segment_size, 1220, 1360, 1440, 1460, 4312, 8940};
constexpr std::uint32_t hash_mask = (1U << 28) - 1;
constexpr std::uint32_t option_mask = 0x3f;
constexpr std::uint32_t no_scaling = 15;
constexpr std::uint32_t sack_bit = 0x10;

std::uint32_t period(Time now) noexcept { return static_cast<std::uint32_t>(now.time_since_epoch() / cookie_lifetime); }

std::uint32_t index_of(std::uint16_t announced) noexcept {
  if (announced == 0) announced = constant::default_segment_size;  // RFC 9293 MUST-15
  std::uint32_t index = 0;
  while (index + 1 < segment_sizes.size() && segment_sizes[index + 1] <= announced) ++index;
  return index;
}

Sequence cookie(const SipKey& key, const Endpoint& local, const Endpoint& remote, Sequence theirs, std::uint32_t when,
                std::uint32_t index) noexcept {
  constexpr std::uint64_t salt_cookie = 4;  // the other uses of tuple_hash have smaller ones in all 64 bits
  const std::uint64_t salt = std::uint64_t{theirs.value} << 32 | (when & 0xffffff) << 8 | index << 4 | salt_cookie;
  const auto hash = static_cast<std::uint32_t>(tuple_hash(key, local, remote, salt));
  return {(when & 1) << 31 | index << 28 | (hash & hash_mask)};
}

}  // namespace

Sequence make_cookie(const SipKey& key, const Endpoint& local, const Endpoint& remote, const Segment& syn,
                     Time now) noexcept {
  return cookie(key, local, remote, syn.sequence, period(now), index_of(syn.options.maximum_segment_size));
}

std::uint32_t make_cookie_timestamp(std::uint32_t clock, const wire::TcpOptionSet& syn) noexcept {
  const std::uint32_t scale = syn.has_window_scale ? syn.window_scale : no_scaling;
  const std::uint32_t value = (clock & ~option_mask) | scale | (syn.sack_permitted ? sack_bit : 0);
  return is_older(clock, value) ? value - (option_mask + 1) : value;
}

std::optional<Segment> read_cookie(const SipKey& key, const Endpoint& local, const Endpoint& remote,
                                   const Segment& acknowledgement, Time now) noexcept {
  const Sequence theirs = acknowledgement.sequence - 1;
  const Sequence ours = acknowledgement.acknowledgement - 1;
  const std::uint32_t index = ours.value >> 28 & 7;
  // This period or the one before, whichever has the cookie's bit.
  const std::uint32_t when = period(now) - ((period(now) ^ ours.value >> 31) & 1);
  if (cookie(key, local, remote, theirs, when, index) != ours) return std::nullopt;
  Segment syn{.sequence = theirs, .flags = Flags::syn, .window = acknowledgement.window, .options = {}};
  wire::TcpOptionSet& options = syn.options;
  options.maximum_segment_size = segment_sizes[index];
  options.has_timestamps = acknowledgement.options.has_timestamps;
  if (!options.has_timestamps) return syn;
  options.timestamp = acknowledgement.options.timestamp;
  const std::uint32_t told = acknowledgement.options.timestamp_echo & option_mask;
  options.has_window_scale = (told & 0xf) != no_scaling;
  options.window_scale = options.has_window_scale ? static_cast<std::uint8_t>(told & 0xf) : std::uint8_t{0};
  options.sack_permitted = (told & sack_bit) != 0;
  return syn;
}

}  // namespace mirage::net::tcp
