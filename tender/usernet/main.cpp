// SPDX-License-Identifier: ISC
// mirage-usernet: a user-mode network for one guest. The tender has the other end of a pair of sockets; this process
// needs no privileges, no tap and no bridge, and keeps only what it needs once it has started.
#include <array>
#include <csignal>
#include <span>
#include <string_view>

#include <dlfcn.h>
#include <unistd.h>

#include <tender/privilege.hpp>
#include <tender/usernet/network.hpp>
#include <tender/usernet/sandbox.hpp>

namespace {

using namespace mirage::usernet;

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

void print(std::string_view text) {
  [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
}

/// libslirp complains through GLib about what a guest sends; a hostile guest must not fill the log. GLib is there
/// because libslirp needs it; we use it for this only, so not its headers.
void silence_glib() {
  using Handler = void (*)(const char*, int, const char*, void*);
  using SetHandler = Handler (*)(Handler, void*);
  if (void* symbol = ::dlsym(RTLD_DEFAULT, "g_log_set_default_handler"); symbol != nullptr) {
    reinterpret_cast<SetHandler>(symbol)([](const char*, int, const char*, void*) {}, nullptr);
  }
}

Result<> announce_ready(int descriptor, std::span<const mirage::Port> ports) {
  if (descriptor < 0) {
    return {};
  }
  mirage::tender::Line line;
  for (const mirage::Port& port : ports) {
    line << (&port == ports.data() ? "" : " ") << port;
  }
  const std::string_view text = (line << "\n").text();
  if (::write(descriptor, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return mirage::tender::fail("cannot write to descriptor ", descriptor, " of --ready-fd");
  }
  ::close(descriptor);
  return {};
}

void print_statistics(const FrameCounters& c, std::uint64_t refused) {
  mirage::tender::Line line;
  line << "frames received " << c.received << " sent " << c.sent << "; dropped: too long " << c.too_long
       << " too short " << c.too_short << " not IPv4 " << c.not_ip << " refused " << refused << " queue full "
       << c.queue_full << " unsendable " << c.unsendable;
  mirage::tender::print_error("mirage-usernet", line);
}

Result<> serve(const Options& options) {
  const std::array keep{options.descriptor, options.ready < 0 ? options.descriptor : options.ready};
  if (auto closed = mirage::tender::close_other_descriptors(keep); !closed) {
    return closed;
  }
  auto port = FramePort::open(options.descriptor);
  if (!port) {
    return std::unexpected{port.error()};
  }
  learn_name_server();
  auto network = Network::create(options, *port);
  if (!network) {
    return std::unexpected{network.error()};
  }
  if (auto closed_in = enter_sandbox({.outgoing = !options.restricted, .writable = options.ready}); !closed_in) {
    return closed_in;
  }
  if (auto ready = announce_ready(options.ready, (*network)->ports()); !ready) {
    return ready;
  }
  auto done = (*network)->run();
  if (options.statistics) {
    print_statistics(port->counters(), (*network)->refused());
  }
  // The kernel frees everything; libslirp's own cleaning up could only fail.
  static_cast<void>(network->release());
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_options({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
  if (!options) {
    mirage::tender::print_error("mirage-usernet", options.error());
    return exit_usage;
  }
  if (options->help || options->version) {
    print(options->help ? help_text : "mirage-usernet " MIRAGE_VERSION "\n");
    return 0;
  }
  ::signal(SIGPIPE, SIG_IGN);
  silence_glib();
  int status = 0;
  if (const auto served = serve(*options); !served) {
    mirage::tender::print_error("mirage-usernet", served.error());
    status = exit_failure;
  }
  ::_exit(status);
}
