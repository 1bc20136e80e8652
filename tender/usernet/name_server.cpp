// SPDX-License-Identifier: ISC
// libslirp reads /etc/resolv.conf when the guest's first query for a name arrives, and keeps what it found for as long
// as the file's status stays the same. Behind the sandbox nothing can be opened, so a query is made up here before: to
// a network that exists for this only, in a thread that cannot send.
#include <array>
#include <cerrno>
#include <cstdint>
#include <span>

#include <arpa/inet.h>
#include <pthread.h>
#include <seccomp.h>
#include <slirp/libslirp.h>
#include <sys/types.h>

#include <tender/usernet/network.hpp>

namespace mirage::usernet {

namespace {

/// An Ethernet frame with an IPv4 UDP datagram of no bytes from 10.0.2.15 to 10.0.2.3, port 53, without UDP checksum.
constexpr std::array<std::uint8_t, 42> query{
    0x52, 0x55, 0x0a, 0,  2, 3, 0x52, 0x54, 0,  0x12, 0x34, 0x56, 0x08, 0x00,  // Ethernet
    0x45, 0,    0,    28, 0, 0, 0,    0,    64, 17,   0x62, 0xc0, 10,   0,     // IPv4, header checksum 0x62c0
    2,    15,   10,   0,  2, 3,                                                //
    0x30, 0x39, 0,    53, 0, 8, 0,    0};                                      // UDP

ssize_t discard(const void*, std::size_t size, void*) { return static_cast<ssize_t>(size); }
/// The clock is what `opaque` points to.
std::int64_t read_clock(void* opaque) { return *static_cast<const std::int64_t*>(opaque); }
int no_poll(int, int, void*) { return -1; }
int no_events(int, void*) { return 0; }
void ignore_descriptor(int, void*) {}
void ignore_error(const char*, void*) {}
void no_notify(void*) {}

/// Filters belong to a thread: this one's datagrams fail from here on.
bool forbid_sending() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) {
    return false;
  }
  const bool loaded = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(sendto), 0) == 0 &&
                      seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(sendmsg), 0) == 0 &&
                      seccomp_load(filter) == 0;
  seccomp_release(filter);
  return loaded;
}

void* ask(void*) {
  if (!forbid_sending()) {
    return nullptr;
  }
  static constexpr SlirpCb callbacks{.send_packet = discard,
                                     .guest_error = ignore_error,
                                     .clock_get_ns = read_clock,
                                     .timer_new = nullptr,
                                     .timer_free = nullptr,
                                     .timer_mod = nullptr,
                                     .register_poll_fd = ignore_descriptor,
                                     .unregister_poll_fd = ignore_descriptor,
                                     .notify = no_notify,
                                     .init_completed = nullptr,
                                     .timer_new_opaque = nullptr};
  SlirpConfig config{};
  config.version = 4;
  config.in_enabled = true;
  inet_pton(AF_INET, "10.0.2.0", &config.vnetwork);
  inet_pton(AF_INET, "255.255.255.0", &config.vnetmask);
  inet_pton(AF_INET, "10.0.2.2", &config.vhost);
  inet_pton(AF_INET, "10.0.2.15", &config.vdhcp_start);
  inet_pton(AF_INET, "10.0.2.3", &config.vnameserver);
  std::int64_t clock = 0;
  Slirp* slirp = slirp_new(&config, &callbacks, &clock);
  if (slirp == nullptr) {
    return nullptr;
  }
  // The first query reads the file; the file's status is remembered by the next one that is more than a second later.
  for (clock = 1'000'000'000; clock <= 11'000'000'000; clock += 10'000'000'000) {
    std::uint32_t timeout = 0;
    slirp_pollfds_fill(slirp, &timeout, no_poll, &clock);
    slirp_pollfds_poll(slirp, 1, no_events, &clock);
    slirp_input(slirp, query.data(), static_cast<int>(query.size()));
  }
  slirp_cleanup(slirp);
  return nullptr;
}

}  // namespace

void learn_name_server() {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, ask, nullptr) == 0) {
    pthread_join(thread, nullptr);
  }
}

}  // namespace mirage::usernet
