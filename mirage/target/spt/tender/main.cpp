// SPDX-License-Identifier: ISC
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <mirage/target/spt/tender/spt.hpp>
#include <tender/file.hpp>
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
};

/// An error about the image, with the image's name in front.
std::unexpected<tender::Error> about(const char* kernel, const tender::Error& error) {
  return tender::fail(tender::Quoted{kernel}, ": ", error.text());
}

/// Loads the image named on the command line and attaches its devices.
Result<> prepare(const tender::Options& options, Guest& guest) {
  const auto kernel = tender::File::open(options.kernel, O_RDONLY | O_NONBLOCK);
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
  const auto waits = make_wait_set(*devices);
  if (!waits) {
    return std::unexpected{waits.error()};
  }
  const auto grant = negotiate(*image, *devices);
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

/// Gives up everything that the guest does not need; after the last step only the guest's system calls work.
Result<> confine(const Guest& guest) {
  std::array<int, solo5::manifest_limit + 2> keep;
  std::size_t count = 0;
  keep[count++] = guest.waits.epoll;
  keep[count++] = guest.waits.timer;
  for (const auto& device : guest.devices.all()) {
    keep[count++] = device.descriptor;
  }
  return tender::close_other_descriptors(std::span{keep}.first(count))
      .and_then([] { return tender::drop_privileges(); })
      .and_then([] { return tender::restrict_process(); })
      .and_then([&] { return install_fault_handler(guest.image, guest.memory_end); })
      .and_then([&] {
        tender::wipe_environment();
        tender::SeccompFilter filter;
        allow_calls(filter, guest.devices, guest.waits, guest.grant);
        return filter.install();
      });
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
    print("mirage-spt " MIRAGE_VERSION " (Solo5 spt ABI version 2)\n");
    return 0;
  }
  Guest guest;
  const auto ready = tender::check_personality().and_then([&] { return prepare(*options, guest); }).and_then([&] {
    return confine(guest);
  });
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
