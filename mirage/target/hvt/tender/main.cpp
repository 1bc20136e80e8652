// SPDX-License-Identifier: ISC
// mirage-hvt: runs an image in a virtual machine of its own. One process, one thread: the guest runs until it needs
// the tender, the tender serves one hypercall and lets it go on.
#include <array>
#include <csignal>
#include <optional>
#include <span>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/boot.hpp>
#include <mirage/target/hvt/tender/hypercall.hpp>
#include <mirage/target/hvt/tender/machine.hpp>
#include <mirage/target/hvt/tender/sandbox.hpp>
#include <tender/attach.hpp>
#include <tender/elf.hpp>
#include <tender/file.hpp>
#include <tender/options.hpp>
#include <tender/privilege.hpp>

namespace mirage::target::hvt {

namespace {

namespace tender = mirage::tender;
using tender::fail;
using tender::Result;

constexpr std::string_view program = "mirage-hvt";

/// Everything that the guest needs, in place.
struct Guest {
  tender::Image image;
  tender::AttachedDevices devices;
  std::optional<tender::GuestMemory> memory;
  std::optional<Machine> machine;
  std::optional<WaitSet> waits;
  Grant grant;
};

/// Guest memory comes in steps of 2 MiB; `requested` is rounded down, but to one step at least.
Result<std::uint64_t> memory_size(std::uint64_t requested) {
  if (requested > memory_limit) {
    return fail("guest memory is at most 4096 MiB");
  }
  const std::uint64_t size = requested < memory_step ? memory_step : requested & ~(memory_step - 1);
  if (size != requested) {
    tender::Line note;
    note << "adjusting memory to " << size << " bytes";
    tender::print_error(program, note);
  }
  return size;
}

/// Protects a segment in the host's mapping, which KVM carries over into the guest's. The host never executes guest
/// memory, and KVM fetches instructions from what the host can read.
Result<> protect(void* context, const tender::Segment& segment) {
  tender::Segment changed = segment;
  changed.read = segment.read || segment.execute;
  changed.execute = false;
  return tender::protect_host(context, changed);
}

Result<> load(const tender::Options& options, Guest& guest) {
  const auto file = tender::File::open(options.kernel, O_RDONLY);
  if (!file) {
    return std::unexpected{file.error()};
  }
  auto image = tender::read_image(file->get(), solo5::AbiTarget::hvt, abi_version);
  if (!image) {
    return fail(tender::Quoted{options.kernel}, ": ", image.error().text());
  }
  guest.image = *image;
  const auto size = memory_size(options.memory_size);
  if (!size) {
    return std::unexpected{size.error()};
  }
  auto memory = tender::map_guest_memory(0, *size, false);
  if (!memory) {
    return std::unexpected{memory.error()};
  }
  guest.memory = *memory;
  const auto loaded = tender::load_image(file->get(), guest.image, *guest.memory, protect, &*guest.memory);
  if (!loaded) {
    return fail(tender::Quoted{options.kernel}, ": ", loaded.error().text());
  }
  return {};
}

Result<> attach(const tender::Options& options, Guest& guest) {
  const bool want_vnet = (guest.image.wanted & solo5::vnet_header) != 0;
  auto devices = tender::attach_devices(guest.image.manifest, options, want_vnet);
  if (!devices) {
    return std::unexpected{devices.error()};
  }
  guest.devices = *devices;
  auto waits = WaitSet::create();
  if (!waits) {
    return std::unexpected{waits.error()};
  }
  for (const auto& device : guest.devices.all()) {
    if (!device.is_net) {
      continue;
    }
    if (const auto added = waits->add(device.descriptor, device.index); !added) {
      return added;
    }
  }
  guest.waits = std::move(*waits);
  return {};
}

Result<> make_machine(const tender::Options& options, Guest& guest) {
  auto machine = Machine::create(*guest.memory);
  if (!machine) {
    return std::unexpected{machine.error()};
  }
  guest.machine = std::move(*machine);
  if (const auto prepared = guest.machine->prepare(*guest.memory, guest.image.entry); !prepared) {
    return prepared;
  }
  const auto grant = negotiate(guest.image, guest.devices);
  if (!grant) {
    return std::unexpected{grant.error()};
  }
  guest.grant = *grant;
  return write_boot_info(*guest.memory, guest.image, options, guest.machine->cycle_frequency(), guest.grant);
}

/// Serves the guest until it halts; the result is its exit status.
Result<int> serve(Guest& guest) {
  Hypercalls calls{*guest.memory, guest.devices.all(), *guest.waits, guest.grant.extension.granted};
  for (;;) {
    const Exit exit = guest.machine->run();
    switch (exit.kind) {
      case Exit::Kind::hypercall: {
        const auto halt = calls.call(exit.number, exit.address);
        if (!halt) {
          return std::unexpected{halt.error()};
        }
        if (*halt) {
          return (*halt)->status;
        }
        break;
      }
      case Exit::Kind::interrupted:
        break;
      default:
        return std::unexpected{exit.detail};
    }
  }
}

/// Leaves without running destructors: the sandbox would not allow what they do.
[[noreturn]] void finish(const Result<int>& status) {
  if (!status) {
    tender::print_error(program, status.error());
  }
  ::_exit(status.value_or(1));
}

/// Ends the tender as Solo5's does, with status 1; nothing needs to be undone.
extern "C" void end_on_signal(int signal) {
  tender::Line line;
  line << "Exiting on signal " << signal;
  tender::print_error(program, line);
  ::_exit(1);
}

Result<> handle_signals() {
  struct sigaction action{};
  action.sa_handler = end_on_signal;
  ::sigfillset(&action.sa_mask);
  if (::sigaction(SIGINT, &action, nullptr) != 0 || ::sigaction(SIGTERM, &action, nullptr) != 0 ||
      ::signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
    return fail("cannot handle signals");
  }
  return {};
}

Result<int> run_guest(const tender::Options& options) {
  Guest guest;
  const auto ready = tender::check_personality()
                         .and_then([] { return handle_signals(); })
                         .and_then([&] { return load(options, guest); })
                         .and_then([&] { return attach(options, guest); })
                         .and_then([&] { return make_machine(options, guest); });
  if (!ready) {
    return std::unexpected{ready.error()};
  }
  const Confinement confinement{.machine = *guest.machine,
                                .waits = *guest.waits,
                                .devices = guest.devices,
                                .granted = guest.grant.extension.granted,
                                .memory_start = reinterpret_cast<std::uint64_t>(guest.memory->host()),
                                .memory_size = guest.memory->end()};
  if (const auto confined = confine(confinement); !confined) {
    return std::unexpected{confined.error()};
  }
  finish(serve(guest));
}

Result<int> run(std::span<char* const> arguments) {
  if (const auto opened = tender::open_standard_descriptors(); !opened) {
    return std::unexpected{opened.error()};
  }
  const auto options = tender::parse_options(arguments);
  if (!options) {
    return std::unexpected{options.error()};
  }
  if (options->help) {
    tender::print_help(STDOUT_FILENO, program);
    return 0;
  }
  if (options->version) {
    constexpr std::string_view text = "mirage-hvt " MIRAGE_VERSION " (Solo5 hvt ABI version 2)\n";
    [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
    return 0;
  }
  return run_guest(*options);
}

}  // namespace

}  // namespace mirage::target::hvt

int main(int argc, char** argv) {
  const auto count = static_cast<std::size_t>(argc);
  mirage::target::hvt::finish(mirage::target::hvt::run(std::span{argv, count}.subspan(count > 0 ? 1 : 0)));
}
