// SPDX-License-Identifier: ISC
#pragma once

#include <optional>

#include <mirage/target/hvt/tender/core_file.hpp>
#include <mirage/target/hvt/tender/debugger.hpp>
#include <mirage/target/hvt/tender/guest.hpp>
#include <mirage/target/hvt/tender/hypercall.hpp>
#include <tender/error.hpp>

namespace mirage::target::hvt {

/// Runs the guest and serves its calls until it ends. `debugger` and `core` may be nullptr.
class Server {
 public:
  Server(Guest& guest, Debugger* debugger, CoreFile* core)
      : guest_{guest},
        calls_{*guest.memory, guest.devices.all(), *guest.waits, guest.grant.extension.granted,
               guest.queue ? &*guest.queue : nullptr},
        debugger_{debugger},
        core_{core} {}

  /// The guest's exit status.
  mirage::tender::Result<int> run();

 private:
  using Ended = std::optional<int>;
  /// Nothing: the guest goes on.
  mirage::tender::Result<Ended> serve(const Exit& exit);
  mirage::tender::Result<Ended> halted(const Halt& halt);
  mirage::tender::Result<Ended> failed(const mirage::tender::Error& error);
  mirage::tender::Result<Ended> follow(Debugger::Next next);
  void dump(const std::optional<HaltCookie>& cookie);

  Guest& guest_;
  Hypercalls calls_;
  Debugger* debugger_;
  CoreFile* core_;
};

}  // namespace mirage::target::hvt
