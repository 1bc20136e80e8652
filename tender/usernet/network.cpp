// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <ctime>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tender/usernet/network.hpp>

namespace mirage::usernet {

using tender::Errno;
using tender::fail;

namespace {

/// Frames from the guest in one turn at most: after them the sockets of this machine have theirs.
constexpr int burst = 64;
/// Sockets at once; the limit of descriptors leaves room for them. Beyond, new connections wait in the kernel.
constexpr std::size_t socket_bound = 960;
/// Milliseconds until a listener is looked at again when there was no descriptor for what it had.
constexpr std::int64_t accept_pause = 100;
constexpr int listen_backlog = 128;
constexpr unsigned ports_tried = 100;
constexpr std::int64_t guest_patience = 1000;  // milliseconds
/// Milliseconds for what a guest that has ended had said: `mirage run` waits a second.
constexpr std::int64_t settling_time = 800;

std::int64_t clock_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}
std::int64_t clock_ms() { return clock_ns() / 1'000'000; }

in_addr network_order(Ipv4Address address) { return {htonl(address.value)}; }

std::uint32_t load32(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t value = 0;
  for (const std::byte byte : bytes.subspan(offset, 4)) {
    value = value << 8 | std::to_integer<std::uint32_t>(byte);
  }
  return value;
}

tender::Line dotted(Ipv4Address address) {
  tender::Line line;
  return line << (address.value >> 24) << "." << (address.value >> 16 & 255) << "." << (address.value >> 8 & 255) << "."
              << (address.value & 255);
}

std::unexpected<tender::Error> listen_error(const Forward& forward, int error) {
  const unsigned port = forward.host_port;
  const char* protocol = forward.udp ? "/udp" : "";
  if (error == EADDRINUSE && forward.or_next) {
    return fail("port ", port, " is in use, and so are the ", ports_tried - 1,
                " behind it: choose one with -p HOST:", forward.guest_port, protocol);
  }
  if (error == EADDRINUSE) {
    const unsigned other = port < 65535 ? port + 1 : 8080;
    return fail("port ", port, " is in use: choose another with -p ", other, ":", forward.guest_port, protocol);
  }
  if (error == EACCES) {
    return fail("port ", port, " needs privileges: choose one from 1024 on with -p ", 8000 + port % 1000, ":",
                forward.guest_port, protocol);
  }
  if (error == EADDRNOTAVAIL) {
    return fail("this machine has no address ", dotted(forward.host).text(), " to forward from");
  }
  return fail("cannot listen on ", dotted(forward.host).text(), ":", port, ": ", Errno{error});
}

short to_poll(int events) {
  return static_cast<short>((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                            (events & SLIRP_POLL_PRI ? POLLPRI : 0));
}

int from_poll(short events) {
  return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) |
         (events & POLLPRI ? SLIRP_POLL_PRI : 0) | (events & POLLERR ? SLIRP_POLL_ERR : 0) |
         (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

}  // namespace

struct Network::Callbacks {
  static Network& self(void* opaque) { return *static_cast<Network*>(opaque); }

  static ssize_t send_packet(const void* frame, std::size_t size, void* opaque) {
    const std::span bytes{static_cast<const std::byte*>(frame), size};
    self(opaque).guard_.note_sent(bytes);
    self(opaque).port_.send(bytes);
    return static_cast<ssize_t>(size);  // a frame that was dropped is lost, not an error: TCP sends it again
  }
  static void guest_error(const char*, void*) {}  // a hostile guest must not fill the log
  static std::int64_t clock(void*) { return clock_ns(); }
  static void* timer_new(SlirpTimerId id, void* argument, void* opaque) {
    Timer& timer = self(opaque).timers_[id];
    timer = {.id = id, .argument = argument};
    return &timer;
  }
  static void timer_free(void* timer, void*) { static_cast<Timer*>(timer)->expires = -1; }
  static void timer_mod(void* timer, std::int64_t expires, void*) { static_cast<Timer*>(timer)->expires = expires; }
  static void ignore_descriptor(int, void*) {}
  static void notify(void*) {}  // every turn asks libslirp anew
  static int add_poll(int descriptor, int events, void* opaque) {
    Network& network = self(opaque);
    network.add_poll({network.holds_back(descriptor) ? -1 : descriptor, to_poll(events), 0});
    return static_cast<int>(network.polls_.size()) - 1;
  }
  static int get_events(int index, void* opaque) {
    return from_poll(self(opaque).polls_[static_cast<std::size_t>(index)].revents);
  }
  static constexpr SlirpCb table{
      .send_packet = send_packet,
      .guest_error = guest_error,
      .clock_get_ns = clock,
      .timer_new = nullptr,
      .timer_free = timer_free,
      .timer_mod = timer_mod,
      .register_poll_fd = ignore_descriptor,
      .unregister_poll_fd = ignore_descriptor,
      .notify = notify,
      .init_completed = nullptr,
      .timer_new_opaque = timer_new,
  };
};

Network::Network(const Options& options, FramePort& port) : port_{port}, guard_{options}, guest_{options.guest} {
  SlirpConfig config{};
  config.version = 4;
  config.restricted = options.restricted;
  config.in_enabled = true;
  config.vnetwork = network_order(options.network.network());
  config.vnetmask = {htonl(options.network.mask())};
  config.vhost = network_order(options.host);
  config.vdhcp_start = network_order(options.guest);
  config.vnameserver = network_order(options.dns);
  config.if_mtu = options.mtu;
  config.if_mru = options.mtu;
  config.disable_host_loopback = false;  // the guard sees to it
  slirp_ = slirp_new(&config, &Callbacks::table, this);
  accept_from_ = clock_ms() + guest_patience;
}

Network::~Network() {
  if (slirp_ != nullptr) {
    slirp_cleanup(slirp_);
  }
}

Result<std::unique_ptr<Network>> Network::create(const Options& options, FramePort& port) {
  std::unique_ptr<Network> network{new Network{options, port}};
  if (network->slirp_ == nullptr) {
    return fail("libslirp refuses its configuration");
  }
  for (const Forward& forward : options.forwards()) {
    if (const auto listening = network->listen(forward); !listening) {
      return std::unexpected{listening.error()};
    }
  }
  network->note_listeners();
  return network;
}

Result<> Network::listen(const Forward& forward) {
  Port port = forward.host_port;
  for (unsigned tried = 1;; ++tried) {
    errno = 0;
    if (slirp_add_hostfwd(slirp_, forward.udp, network_order(forward.host), port, network_order(guest_),
                          forward.guest_port) == 0) {
      ports_.push_back(port);
      return {};
    }
    if (errno != EADDRINUSE || !forward.or_next || tried == ports_tried) {
      return listen_error(forward, errno);
    }
    port = port == 65535 ? Port{1024} : static_cast<Port>(port + 1);
  }
}

void Network::note_listeners() {
  int timeout = -1;
  fill_polls(timeout);
  for (const pollfd& entry : polls_) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(entry.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0) {
      ::listen(entry.fd, listen_backlog);  // libslirp has asked for a backlog of one
      listeners_.push_back(entry.fd);
    }
  }
}

bool Network::is_listener(int descriptor) const {
  return std::ranges::find(listeners_, descriptor) != listeners_.end();
}

bool Network::holds_back(int descriptor) const {
  // While the guest does not read, nobody may produce more for it.
  return port_.congested() ||
         (is_listener(descriptor) && (port_.closed() || polls_.size() > socket_bound || clock_ms() < accept_again_ ||
                                      (!guest_seen_ && clock_ms() < accept_from_)));
}

namespace {
/// Whether another descriptor can be opened. Sockets are not all in the poll set, so they cannot be counted there.
bool spare_descriptor() {
  const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
  if (probe < 0) {
    return errno != EMFILE && errno != ENFILE;
  }
  ::close(probe);
  return true;
}
}  // namespace

/// A connection that cannot be accepted would make its listener ready for ever: it waits in the kernel for a while.
void Network::spare_listeners() {
  const auto ready = [this](const pollfd& entry) { return entry.revents != 0 && is_listener(entry.fd); };
  if (std::ranges::none_of(polls_, ready) || spare_descriptor()) {
    return;
  }
  accept_again_ = clock_ms() + accept_pause;
  for (pollfd& entry : polls_) {
    if (ready(entry)) {
      entry.revents = 0;
    }
  }
}

void Network::fill_polls(int& timeout) {
  polls_.clear();
  add_poll(
      {port_.closed() ? -1 : port_.descriptor(), static_cast<short>(port_.congested() ? POLLIN | POLLOUT : POLLIN), 0});
  auto patience = static_cast<std::uint32_t>(timeout);  // -1 is libslirp's "infinite" too
  slirp_pollfds_fill(slirp_, &patience, Callbacks::add_poll, this);
  std::int64_t shortest = patience;
  const std::int64_t now = clock_ms();
  for (const Timer& timer : timers_) {
    if (timer.expires >= 0) {
      shortest = std::min(shortest, std::max<std::int64_t>(timer.expires - now, 0));
    }
  }
  if (!guest_seen_ && now < accept_from_ && !listeners_.empty()) {
    shortest = std::min(shortest, accept_from_ - now);
  }
  if (now < accept_again_) {
    shortest = std::min(shortest, accept_again_ - now);
  }
  timeout = shortest >= UINT32_MAX ? -1 : static_cast<int>(std::min<std::int64_t>(shortest, 3'600'000));
}

void Network::run_timers() {
  const std::int64_t now = clock_ms();
  for (Timer& timer : timers_) {
    if (timer.expires >= 0 && timer.expires <= now) {
      timer.expires = -1;
      slirp_handle_timer(slirp_, timer.id, timer.argument);
    }
  }
}

void Network::watch_for_guest(std::span<const std::byte> frame) {
  constexpr std::size_t arp_sender = 14 + 14;
  constexpr std::size_t ipv4_source = 14 + 12;
  const bool arp = frame[13] == std::byte{6};
  guest_seen_ = load32(frame, arp ? arp_sender : ipv4_source) == guest_.value;
}

void Network::deliver(std::span<const std::byte> frame) {
  if (!guard_.permits(frame)) {
    ++refused_;
    return;
  }
  slirp_input(slirp_, reinterpret_cast<const std::uint8_t*>(frame.data()), static_cast<int>(frame.size()));
  if (!guest_seen_) {
    watch_for_guest(frame);
  }
}

void Network::take_frames() {
  for (int count = 0; count < burst; ++count) {
    const auto frame = port_.receive();
    if (!frame) {
      return;
    }
    if (!frame->empty()) {
      deliver(*frame);
    }
  }
}

Result<> Network::turn(int timeout) {
  fill_polls(timeout);
  const int ready = ::poll(polls_.data(), polls_.size(), timeout);
  if (ready < 0 && errno != EINTR && errno != ENOMEM) {
    return fail("cannot wait for events: ", Errno{errno});
  }
  if (ready < 0) {
    for (pollfd& entry : polls_) {
      entry.revents = 0;
    }
  }
  if (polls_.front().revents != 0) {
    port_.flush();
    take_frames();
  }
  run_timers();
  spare_listeners();
  slirp_pollfds_poll(slirp_, ready < 0, Callbacks::get_events, this);
  return {};
}

Result<> Network::run() {
  while (!port_.closed()) {
    if (const auto turned = turn(-1); !turned) {
      return turned;
    }
  }
  return settle();
}

/// Whether bytes that libslirp has acknowledged wait for room in a socket.
bool Network::owes() const {
  return std::ranges::any_of(polls_,
                             [](const pollfd& entry) { return entry.fd >= 0 && (entry.events & POLLOUT) != 0; });
}

/// Connections whose peers have not taken what libslirp had acknowledged end with a reset: after a FIN a part would
/// pass for the whole.
void Network::reset_owing() {
  constexpr linger at_once{.l_onoff = 1, .l_linger = 0};
  for (const pollfd& entry : polls_) {
    if (entry.fd >= 0 && (entry.events & POLLOUT) != 0) {
      ::setsockopt(entry.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
  }
}

/// The last words of a guest that has ended.
Result<> Network::settle() {
  const std::int64_t until = clock_ms() + settling_time;
  for (int timeout = 0; fill_polls(timeout), owes(); timeout = 0) {
    const std::int64_t left = until - clock_ms();
    if (left <= 0) {
      reset_owing();
      return {};
    }
    if (const auto turned = turn(static_cast<int>(left)); !turned) {
      return turned;
    }
  }
  return {};
}

}  // namespace mirage::usernet
