// SPDX-License-Identifier: ISC
// From an image's plan and the options of `mirage run` to the command that runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <cli/command.hpp>
#include <config/error.hpp>
#include <config/plan.hpp>
#include <config/process.hpp>

namespace mirage::cli {

/// A port of the host that leads to one of the guest.
struct Forward {
  std::string protocol = "tcp";
  std::string address = "127.0.0.1";
  std::uint16_t host = 0;
  std::uint16_t guest = 0;
  bool or_next = false;  ///< we chose the host's: when another takes it first, the helper takes the next
};

/// A port of this machine that no other `mirage run` takes while this is kept: QEMU opens it some time after we looked
/// whether it is free. Others do not see it.
class TakenPort {
 public:
  TakenPort() = default;  ///< none
  TakenPort(TakenPort&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  TakenPort& operator=(TakenPort&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  TakenPort(const TakenPort&) = delete;
  TakenPort& operator=(const TakenPort&) = delete;
  ~TakenPort();
  /// False: another has it, there or (as is held for all but other addresses of this machine) on its loopback.
  [[nodiscard]] bool take(const std::string& protocol, std::uint16_t port, const std::string& address = {});

 private:
  int descriptor_ = -1;
};

/// "8080:80", "0.0.0.0:8080:80", "5353:53/udp". Throws Error.
[[nodiscard]] Forward parse_forward(const std::string& text);

/// What to start. The image's network descriptor (a packet socket to the helper) is `network_descriptor` in the child.
struct Launch {
  plan::Words command;
  plan::Words environment;  ///< NAME=VALUE, on top of ours
  plan::Words helper;       ///< mirage-usernet and its arguments; empty: none
  std::vector<Forward> forwards;
  std::vector<TakenPort> taken_ports;
  bool console_to_error = false;  ///< standard output is for the result
};
inline constexpr int network_descriptor = 3;
/// Where the helper says that it is ready, and the ports that it took.
inline constexpr int ready_descriptor = 4;

/// Chooses forwards when none were given: one for each key called `port` or `...-port`, on a free port of the host.
/// `binary` is where the tenders are. Throws Error for devices that are missing or unknown.
[[nodiscard]] Launch make_launch(const plan::Plan& plan, const RunOptions& options, const std::string& image,
                                 const std::string& binary);

/// How the program that ran the guest ended.
struct Ended {
  int status = 0;       ///< as shells have it: 128 and the signal that killed it, 127 when it could not be executed
  bool is_exit = true;  ///< its own status
  int signal = 0;       ///< that was to end it: passed on, or the terminal's; 0: none
};

/// A device of the image that the command line gives nothing for.
class MissingDevice : public plan::Error {
 public:
  using plan::Error::Error;
};

/// The guest's exit status from that.
[[nodiscard]] int guest_status(const plan::Runner& runner, const Ended& ended);

/// Starts the helper and the command, passes signals on, waits for both. No process outlives it, even if it is killed.
/// Calls `connected` when the forwards of `launch` are what leads to the guest: the helper may have moved them.
[[nodiscard]] Ended supervise(Launch& launch, const std::function<void()>& connected = {});

}  // namespace mirage::cli
