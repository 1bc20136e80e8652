// SPDX-License-Identifier: ISC
// mirage-hvt: runs an image in a virtual machine of its own. One process, one thread: the guest runs until it needs
// the tender, the tender serves one hypercall and lets it go on.
#include <array>
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include <sys/time.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/core_file.hpp>
#include <mirage/target/hvt/tender/debugger.hpp>
#include <mirage/target/hvt/tender/guest.hpp>
#include <mirage/target/hvt/tender/sandbox.hpp>
#include <mirage/target/hvt/tender/serve.hpp>
#include <tender/options.hpp>
#include <tender/privilege.hpp>

namespace mirage::target::hvt {

namespace {

namespace tender = mirage::tender;
using tender::fail;
using tender::Result;

constexpr std::string_view program = "mirage-hvt";

/// The options that only this tender has.
struct DebugOptions {
  bool gdb = false;
  std::uint16_t gdb_port = 1234;
  const char* core_directory = nullptr;
};

Result<> apply_gdb(void* context, const char*) {
  static_cast<DebugOptions*>(context)->gdb = true;
  return {};
}

Result<> apply_gdb_port(void* context, const char* value) {
  std::uint16_t port = 0;
  const char* const end = value + std::strlen(value);
  const auto [stopped, error] = std::from_chars(value, end, port);
  if (error != std::errc{} || stopped != end || port == 0) {
    return fail("--gdb-port wants a port from 1 to 65535");
  }
  static_cast<DebugOptions*>(context)->gdb_port = port;
  return {};
}

Result<> apply_dumpcore(void* context, const char* value) {
  static_cast<DebugOptions*>(context)->core_directory = value;
  return {};
}

constexpr std::array<tender::ExtraOption, 3> extra_options{{
    {"--gdb", "--gdb", "wait for gdb before the guest starts", apply_gdb},
    {"--gdb-port=", "--gdb-port=PORT", "where to wait for gdb, on the loopback interface (default 1234)",
     apply_gdb_port},
    {"--dumpcore=", "--dumpcore=DIR", "write a core file of the guest to DIR when it aborts or faults", apply_dumpcore},
}};

/// Leaves without running destructors: the sandbox would not allow what they do.
[[noreturn]] void finish(const Result<int>& status) {
  if (!status) {
    tender::print_error(program, status.error());
  }
  ::_exit(status.value_or(1));
}

extern "C" void end_unheard(int) { ::_exit(1); }

/// Ends the tender as Solo5's does, with status 1; nothing needs to be undone. Where nobody reads what it says, that is
/// waited for half a second.
extern "C" void end_on_signal(int signal) {
  const itimerval soon{{0, 0}, {0, 500'000}};
  ::setitimer(ITIMER_REAL, &soon, nullptr);
  tender::Line line;
  line << "Exiting on signal " << signal;
  tender::print_error(program, line);
  ::_exit(1);
}

Result<> handle_signals() {
  struct sigaction ending{};
  ending.sa_handler = end_on_signal;
  ::sigfillset(&ending.sa_mask);
  ::sigdelset(&ending.sa_mask, SIGALRM);
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  if (::sigaction(SIGINT, &ending, nullptr) != 0 || ::sigaction(SIGTERM, &ending, nullptr) != 0 ||
      ::signal(SIGALRM, end_unheard) == SIG_ERR || ::sigprocmask(SIG_UNBLOCK, &alarm, nullptr) != 0 ||
      ::signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
    return fail("cannot handle signals");
  }
  return {};
}

/// The debugger and the core file, when they are wanted.
struct Tools {
  tender::File connection;
  std::optional<Debugger> debugger;
  std::optional<CoreFile> core;
};

Result<> open_tools(const tender::Options& options, const DebugOptions& debug, Guest& guest, Tools& tools) {
  if (debug.core_directory != nullptr) {
    auto core = CoreFile::in(debug.core_directory);
    if (!core) {
      return std::unexpected{core.error()};
    }
    tools.core = std::move(*core);
  }
  if (!debug.gdb) {
    return {};
  }
  auto connection = accept_debugger(debug.gdb_port, options.kernel);
  if (!connection) {
    return std::unexpected{connection.error()};
  }
  tools.connection = std::move(*connection);
  tools.debugger.emplace(*guest.machine, *guest.memory, tools.connection.get());
  return tools.debugger->enable_interrupts().and_then([&] { return guest.waits->add_own(tools.connection.get()); });
}

Result<> confine(const Guest& guest, Tools& tools) {
  Confinement confinement{.processor = guest.machine->processor(),
                          .wait_set = guest.waits->descriptor(),
                          .block_queue = guest.queue ? guest.queue->descriptor() : -1,
                          .devices = guest.devices,
                          .granted = guest.grant.extension.granted,
                          .debugger = tools.connection.get(),
                          .core_directory = tools.core ? tools.core->directory() : -1,
                          .memory_start = reinterpret_cast<std::uint64_t>(guest.memory->host()),
                          .memory_size = guest.memory->end()};
  if (const auto dropped = drop_rights(confinement); !dropped) {
    return dropped;
  }
  if (tools.core) {
    if (const auto created = tools.core->create(); !created) {
      return created;
    }
    confinement.core_file = tools.core->file();
  }
  return filter_calls(confinement);
}

Result<int> run_guest(const tender::Options& options, const DebugOptions& debug) {
  Guest guest;
  Tools tools;
  const auto ready = tender::check_personality()
                         .and_then([] { return handle_signals(); })
                         .and_then([&] { return prepare(options, guest); })
                         .and_then([&] { return open_tools(options, debug, guest, tools); });
  if (!ready) {
    return std::unexpected{ready.error()};
  }
  if (const auto confined = confine(guest, tools); !confined) {
    finish(std::unexpected{confined.error()});
  }
  Server server{guest, tools.debugger ? &*tools.debugger : nullptr, tools.core ? &*tools.core : nullptr};
  finish(server.run());
}

Result<int> run(std::span<char* const> arguments) {
  if (const auto opened = tender::open_standard_descriptors(); !opened) {
    return std::unexpected{opened.error()};
  }
  DebugOptions debug;
  const auto options = tender::parse_options(arguments, extra_options, &debug);
  if (!options) {
    return std::unexpected{options.error()};
  }
  if (options->help) {
    tender::print_help(STDOUT_FILENO, program, extra_options);
    return 0;
  }
  if (options->version) {
    constexpr std::string_view text = "mirage-hvt " MIRAGE_VERSION " (Solo5 hvt ABI version 2)\n";
    [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
    return 0;
  }
  return run_guest(*options, debug);
}

}  // namespace

}  // namespace mirage::target::hvt

int main(int argc, char** argv) {
  const auto count = static_cast<std::size_t>(argc);
  mirage::target::hvt::finish(mirage::target::hvt::run(std::span{argv, count}.subspan(count > 0 ? 1 : 0)));
}
