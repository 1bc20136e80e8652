// SPDX-License-Identifier: ISC
#include <array>
#include <cstdlib>
#include <cstring>

#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/departure.hpp>
#include <mirage/net/tcp/serialise.hpp>
#include <mirage/net/tcp/timers.hpp>
#include <mirage/net/tcp/user.hpp>
#include <test/simulator/event.hpp>

namespace mirage::simulator {

namespace {

using namespace net::tcp;

bool restoring = false;
std::uint64_t restored_count = 0;

void take_through_bytes(Tcb& tcb) noexcept {
  if (!restoring) return;
  std::array<std::byte, serialised_size> bytes;
  serialise(tcb, bytes);
  // Nothing may survive but what went through the bytes.
  std::memset(static_cast<void*>(&tcb), 0xa5, sizeof tcb);
  const auto restored = restore(bytes);
  if (!restored) std::abort();
  tcb = *restored;
  ++restored_count;
}

}  // namespace

void restore_at_events(bool on) noexcept { restoring = on; }
std::uint64_t restorations() noexcept { return restored_count; }

/// The core's functions under their own names and signatures: whoever changes one changes it here.
namespace event {

Actions on_segment(Tcb& tcb, const Segment& segment, Time now) noexcept {
  take_through_bytes(tcb);
  return net::tcp::on_segment(tcb, segment, now);
}
Actions on_time(Tcb& tcb, Time now) noexcept {
  take_through_bytes(tcb);
  return net::tcp::on_time(tcb, now);
}
std::optional<Departure> next_departure(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept {
  take_through_bytes(tcb);
  return net::tcp::next_departure(tcb, maximum_payload, now);
}
void departure_failed(Tcb& tcb, const Departure& departure) noexcept {
  take_through_bytes(tcb);
  net::tcp::departure_failed(tcb, departure);
}
void forget_stored(Tcb& tcb) noexcept {
  take_through_bytes(tcb);
  net::tcp::forget_stored(tcb);
}
void shrink_segment_size(Tcb& tcb, std::uint16_t segment_size) noexcept {
  take_through_bytes(tcb);
  net::tcp::shrink_segment_size(tcb, segment_size);
}
std::uint32_t accept_early(Tcb& tcb, std::uint32_t length) noexcept {
  take_through_bytes(tcb);
  return net::tcp::accept_early(tcb, length);
}
void written(Tcb& tcb, std::uint32_t bytes) noexcept {
  take_through_bytes(tcb);
  net::tcp::written(tcb, bytes);
}
void mark_urgent(Tcb& tcb) noexcept {
  take_through_bytes(tcb);
  net::tcp::mark_urgent(tcb);
}
void shutdown(Tcb& tcb) noexcept {
  take_through_bytes(tcb);
  net::tcp::shutdown(tcb);
}
void close(Tcb& tcb, Time now) noexcept {
  take_through_bytes(tcb);
  net::tcp::close(tcb, now);
}
std::optional<Departure> abort(Tcb& tcb, Time now) noexcept {
  take_through_bytes(tcb);
  return net::tcp::abort(tcb, now);
}

}  // namespace event

}  // namespace mirage::simulator
