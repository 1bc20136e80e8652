// SPDX-License-Identifier: ISC
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include <unistd.h>

#include <mirage/target/spt/tender/spt.hpp>
#include <tender/privilege.hpp>

namespace mirage::target::spt {

namespace {

using tender::Result;

constexpr std::string_view program = "mirage-spt";

void print(std::string_view text) {
  [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
}

/// Everything that the guest needs, in place.
struct Guest {
  tender::Image image;
  tender::AttachedDevices devices;
  WaitSet waits;
  Grant grant;
  std::uint64_t memory_end = 0;
  tender::ShardShare share;
};

Result<> apply_cpus(void* context, const char* value) {
  const auto count = tender::parse_cpus(value);
  if (!count) {
    return std::unexpected{count.error()};
  }
  *static_cast<std::uint16_t*>(context) = *count;
  return {};
}

constexpr std::array<tender::ExtraOption, 1> extra_options{
    {{"--cpus=", "--cpus=N", "run the image N times, on a core and a queue of the tap each", apply_cpus}}};

/// An error about the image, with the image's name in front.
std::unexpected<tender::Error> about(const char* kernel, const tender::Error& error) {
  return tender::fail(tender::Quoted{kernel}, ": ", error.text());
}

/// Loads the image named on the command line and attaches its devices.
Result<> prepare(const tender::Options& options, Guest& guest) {
  const auto kernel = tender::open_image(options.kernel);
  if (!kernel) {
    return std::unexpected{kernel.error()};
  }
  auto image = tender::read_image(kernel->get(), solo5::AbiTarget::spt, abi_version);
  if (!image) {
    return about(options.kernel, image.error());
  }
  guest.image = *image;
  auto memory = tender::map_guest_memory(memory_start, options.memory_size, true);
  if (!memory) {
    return std::unexpected{memory.error()};
  }
  if (const auto loaded = tender::load_image(kernel->get(), *image, *memory, tender::protect_host, &*memory); !loaded) {
    return about(options.kernel, loaded.error());
  }
  const auto devices = tender::attach_devices(guest.image.manifest, options, tender::wanted_offloads(image->wanted));
  if (!devices) {
    return std::unexpected{devices.error()};
  }
  const auto waits = make_wait_set(*devices, guest.share);
  if (!waits) {
    return std::unexpected{waits.error()};
  }
  const auto grant = negotiate(*image, *devices, guest.share);
  if (!grant) {
    return std::unexpected{grant.error()};
  }
  guest.devices = *devices;
  guest.waits = *waits;
  guest.grant = *grant;
  guest.memory_end = memory->end();
  guest.grant.memory_end = memory->end();
  return write_boot_info(*memory, guest.image, options, guest.waits, guest.grant);
}

/// Starts the shards, each of which goes on from here, after looking whether image and devices can be shared.
Result<> share(tender::Options& options, std::uint16_t count, Guest& guest) {
  if (count == 1) {
    return {};
  }
  const auto kernel = tender::open_image(options.kernel);
  if (!kernel) {
    return std::unexpected{kernel.error()};
  }
  const auto image = tender::read_image(kernel->get(), solo5::AbiTarget::spt, abi_version);
  if (!image) {
    return about(options.kernel, image.error());
  }
  if ((image->wanted & solo5::shards) == 0) {
    return tender::fail(tender::Quoted{options.kernel}, " is configured for one CPU (mirage configure --cpus=many)");
  }
  if (const auto checked = tender::check_shareable(options, count); !checked) {
    return checked;
  }
  const auto started = tender::start_shards(options, count, true);
  if (!started) {
    return std::unexpected{started.error()};
  }
  guest.share = *started;
  return {};
}

/// What finds nobody who reads it is lost, as on the other targets: that is no reason to end the guest.
Result<> outlive_console() {
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
    return tender::fail("cannot handle signals: ", tender::Errno{errno});
  }
  return {};
}

/// Gives up everything that the guest does not need; after the last step only the guest's system calls work.
Result<> confine(const Guest& guest) {
  std::array<int, solo5::manifest_limit + 2 + shard_limit> keep;
  std::size_t count = 0;
  keep[count++] = guest.waits.epoll;
  keep[count++] = guest.waits.timer;
  for (const auto& device : guest.devices.all()) {
    keep[count++] = device.descriptor;
  }
  for (const int bell : guest.share.all_bells()) {
    keep[count++] = bell;
  }
  return tender::close_other_descriptors(std::span{keep}.first(count))
      .and_then([] { return tender::drop_privileges(); })
      .and_then([&] { return guest.share.count > 1 ? tender::end_with_starter() : Result<>{}; })
      .and_then([] { return tender::restrict_process(); })
      .and_then([] { return outlive_console(); })
      .and_then([&] { return install_fault_handler(guest.image, guest.memory_end); })
      .and_then([&] {
        tender::wipe_environment();
        tender::SeccompFilter filter;
        allow_calls(filter, guest.devices, guest.waits, guest.grant, guest.share);
        return filter.install();
      });
}

Result<int> run(std::span<char* const> arguments) {
  if (const auto opened = tender::open_standard_descriptors(); !opened) {
    return std::unexpected{opened.error()};
  }
  std::uint16_t cpus = 1;
  auto options = tender::parse_options(arguments, extra_options, &cpus);
  if (!options) {
    return std::unexpected{options.error()};
  }
  if (options->help) {
    tender::print_help(STDOUT_FILENO, program, extra_options);
    return 0;
  }
  if (options->version) {
    print("mirage-spt " MIRAGE_VERSION " (Solo5 spt ABI version 2)\n");
    return 0;
  }
  Guest guest;
  const auto ready = tender::check_personality()
                         .and_then([&] { return share(*options, cpus, guest); })
                         .and_then([&] { return prepare(*options, guest); })
                         .and_then([&] { return confine(guest); });
  if (!ready) {
    return std::unexpected{ready.error()};
  }
  launch(guest.memory_end - 8, guest.image.entry, boot_info_address);
  return 1;
}

}  // namespace

}  // namespace mirage::target::spt

int main(int argc, char** argv) {
  const auto count = static_cast<std::size_t>(argc);
  const auto status = mirage::target::spt::run(std::span{argv, count}.subspan(count > 0 ? 1 : 0));
  if (!status) {
    mirage::tender::print_error(mirage::target::spt::program, status.error());
    return 1;
  }
  return *status;
}
