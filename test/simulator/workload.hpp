// SPDX-License-Identifier: ISC
// What the two stacks are made to do: connections with data both ways, half-close, aborts, slow readers; and the check
// that every byte that arrives is the one that was sent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <test/simulator/world.hpp>

namespace mirage::simulator {

/// How a side ends its part.
enum class Ending : std::uint8_t {
  orderly,  ///< writes everything, shuts down, reads to the end
  close,    ///< closes after what it wrote, however much is still to be read
  abort,    ///< resets somewhere in the middle
};

struct SidePlan {
  std::uint64_t bytes = 0;  ///< to write
  std::uint32_t chunk = 1;  ///< for each write
  bool slices = false;      ///< owned slices rather than borrowed bytes
  bool no_delay = false;
  Ending ending = Ending::orderly;
  std::uint64_t stop_at = 0;  ///< abort: after this many bytes written
  double pause = 0;           ///< probability that a read is followed by a pause
  Duration longest_pause{0};
};

struct ConnectionPlan {
  SidePlan client;
  SidePlan server;
  Duration start{0};
  std::optional<net::tcp::Algorithm> congestion{};  ///< of what the client sends; else that of its node
  [[nodiscard]] bool orderly() const noexcept {
    return client.ending == Ending::orderly && server.ending == Ending::orderly;
  }
};

/// What one side saw.
struct SideResult {
  std::uint64_t written = 0;
  std::uint64_t read = 0;
  bool ended = false;   ///< read the end of the stream
  bool failed = false;  ///< an operation returned an error
  bool done = false;
  FlowError error{};
};

struct ConnectionResult {
  SideResult client;
  SideResult server;
};

/// Everything about one run that the seed decides.
struct Plan {
  Faults faults;
  NodeOptions a;
  NodeOptions b;
  std::vector<ConnectionPlan> connections;
  Duration cut{0};  ///< the run is over then, whatever is delivered; 0: when all is
};

struct Limits {
  double loss = 0.05;
  double reordering = 0.05;
  double duplication = 0.05;
  double corruption = 0.05;
  std::uint64_t bytes = 200'000;  ///< for each direction of a connection, at most
  std::uint32_t connections = 3;
  bool orderly = false;  ///< only orderly endings
};

[[nodiscard]] Plan make_plan(std::uint64_t seed, const Limits& limits);

struct Outcome {
  std::string wrong;           ///< a broken invariant; empty: none
  std::string remarks;         ///< why orderly connections were not complete
  std::uint64_t orderly = 0;   ///< connections that both sides wanted to finish
  std::uint64_t complete = 0;  ///< of those, delivered wholly both ways
  std::uint64_t noticed = 0;   ///< of those, ended by an error that both sides saw
  std::uint64_t bytes = 0;     ///< delivered
  std::uint64_t frames = 0;
  std::uint64_t trace = 0;
  std::vector<std::uint64_t> shares;  ///< with `cut`: bytes that each server has read in its second half
  Duration time{0};                   ///< until the last application was done
};

/// One run. `restore`: TCBs go through their bytes between any two events, and are packed when idle. `show`: print
/// every frame.
[[nodiscard]] Outcome run(std::uint64_t seed, const Plan& plan, bool restore, bool show);

/// Every connection of an admitted run is over by then.
inline constexpr Duration time_bound = 900s;

}  // namespace mirage::simulator
