// SPDX-License-Identifier: ISC
#include <mirage/target/hvt/tender/serve.hpp>

namespace mirage::target::hvt {

namespace {

using mirage::tender::Error;
using mirage::tender::fail;

constexpr std::uint8_t signal_abort = 6;
constexpr std::uint8_t signal_fault = 11;

}  // namespace

TenderResult<int> Server::run() {
  if (debugger_ != nullptr) {
    if (const auto next = follow(debugger_->started()); !next) {
      return std::unexpected{next.error()};
    }
  }
  for (;;) {
    const auto ended = serve(guest_.machine->run());
    if (!ended) {
      return std::unexpected{ended.error()};
    }
    if (*ended) {
      return **ended;
    }
  }
}

TenderResult<Server::Ended> Server::serve(const Exit& exit) {
  switch (exit.kind) {
    case Exit::Kind::hypercall: {
      const auto halt = calls_.call(exit.number, exit.address);
      if (!halt) {
        return failed(halt.error());
      }
      return *halt ? halted(**halt) : Ended{};
    }
    case Exit::Kind::debug:
      return debugger_ != nullptr ? follow(debugger_->stopped(exit)) : Ended{};
    case Exit::Kind::interrupted:
      return debugger_ != nullptr ? follow(debugger_->interrupted()) : Ended{};
    case Exit::Kind::fault:
    case Exit::Kind::invalid:
      break;
  }
  return failed(exit.detail);
}

TenderResult<Server::Ended> Server::follow(Debugger::Next next) {
  switch (next) {
    case Debugger::Next::go_on:
      break;
    case Debugger::Next::detached:
      debugger_ = nullptr;
      break;
    case Debugger::Next::kill:
      return fail("killed by the debugger");
  }
  return Ended{};
}

TenderResult<Server::Ended> Server::halted(const Halt& halt) {
  if (halt.status == abort_status) {
    dump(halt.cookie);
    if (debugger_ != nullptr) {
      if (const auto next = follow(debugger_->ending(signal_abort)); !next) {
        return next;
      }
    }
  }
  if (debugger_ != nullptr) {
    debugger_->exited(halt.status);
  }
  return Ended{halt.status};
}

TenderResult<Server::Ended> Server::failed(const Error& error) {
  dump(std::nullopt);
  if (debugger_ != nullptr) {
    mirage::tender::print_error("mirage-hvt", error);
    if (const auto next = follow(debugger_->ending(signal_fault)); !next) {
      return next;
    }
  }
  return std::unexpected{error};
}

void Server::dump(const std::optional<HaltCookie>& cookie) {
  if (core_ == nullptr) {
    return;
  }
  kvm_regs general{};
  kvm_sregs system{};
  mirage::tender::Line note;
  if (!guest_.machine->get(general) || !guest_.machine->get(system)) {
    note << "cannot read the guest's registers for the core file";
  } else if (const auto done = core_->dump(core_registers(general, system, cookie), *guest_.memory); !done) {
    note << done.error().text();
  } else {
    note << "dumped the guest to " << core_->name();
  }
  mirage::tender::print_error("mirage-hvt", note);
  core_ = nullptr;
}

}  // namespace mirage::target::hvt
