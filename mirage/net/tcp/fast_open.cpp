// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/tcp/fast_open.hpp>
#include <mirage/net/tcp/table.hpp>
#include <mirage/wire/tcp.hpp>

namespace mirage::net::tcp {

namespace {

constexpr std::uint8_t option_kind = 34;  // RFC 7413 section 4.1.1

FastOpenCookie cookie_of(const SipKey& key, const IpAddress& local, const IpAddress& remote,
                         std::uint64_t period) noexcept {
  constexpr std::uint64_t salt_fast_open = 5;  // the other uses of tuple_hash have other low bytes
  const std::uint64_t hash = tuple_hash(key, {.address = local}, {.address = remote}, period << 8 | salt_fast_open);
  FastOpenCookie cookie{.size = 8};
  for (std::size_t i = 0; i < 8; ++i) cookie.bytes[i] = static_cast<std::uint8_t>(hash >> 8 * i);
  return cookie;
}

std::uint64_t cookie_period(Time now) noexcept {
  return static_cast<std::uint64_t>(now.time_since_epoch() / fast_open_lifetime);
}

FastOpenOption read_body(Bytes body) noexcept {
  FastOpenOption option{.cookie = {}, .present = body.empty()};
  // Section 4.1.1: an even number of bytes; anything else is as if the option were not there.
  if (body.size() < FastOpenCookie::smallest || body.size() > FastOpenCookie::largest || body.size() % 2 != 0)
    return option;
  option.present = true;
  option.cookie.size = static_cast<std::uint8_t>(body.size());
  for (std::size_t i = 0; i < body.size(); ++i) option.cookie.bytes[i] = std::to_integer<std::uint8_t>(body[i]);
  return option;
}

}  // namespace

FastOpenOption read_fast_open(Bytes options) noexcept {
  while (options.size() >= 2 && options[0] != std::byte{wire::tcp_option::end}) {
    if (options[0] == std::byte{wire::tcp_option::no_operation}) {
      options = options.subspan(1);
      continue;
    }
    const std::size_t length = std::to_integer<std::size_t>(options[1]);
    if (length < 2 || length > options.size()) break;
    if (options[0] == std::byte{option_kind}) return read_body(options.subspan(2, length - 2));
    options = options.subspan(length);
  }
  return {};
}

void write_fast_open(const FastOpenOption& option, MutableBytes out) noexcept {
  if (!option.present) return;
  std::ranges::fill(out, std::byte{wire::tcp_option::no_operation});
  const MutableBytes body = out.last(2U + option.cookie.size);
  body[0] = std::byte{option_kind};
  body[1] = static_cast<std::byte>(body.size());
  for (std::size_t i = 0; i < option.cookie.size; ++i) body[2 + i] = static_cast<std::byte>(option.cookie.bytes[i]);
}

FastOpenCookie make_fast_open_cookie(const SipKey& key, const IpAddress& local, const IpAddress& remote,
                                     Time now) noexcept {
  return cookie_of(key, local, remote, cookie_period(now));
}

bool is_fast_open_cookie(const FastOpenCookie& cookie, const SipKey& key, const IpAddress& local,
                         const IpAddress& remote, Time now) noexcept {
  const std::uint64_t current = cookie_period(now);
  return cookie == cookie_of(key, local, remote, current) || cookie == cookie_of(key, local, remote, current - 1);
}

FastOpenCache::Entry* FastOpenCache::find(const IpAddress& server) noexcept {
  const auto found = std::ranges::find(entries_, server, &Entry::address);
  return found == entries_.end() ? nullptr : &*found;
}

FastOpenCache::Entry& FastOpenCache::of(const IpAddress& server, Time now) noexcept {
  Entry* entry = find(server);
  if (entry == nullptr) {
    entry = &*std::ranges::min_element(entries_, {}, &Entry::used);
    *entry = {};
    entry->address = server;
  }
  entry->used = now;
  return *entry;
}

}  // namespace mirage::net::tcp
