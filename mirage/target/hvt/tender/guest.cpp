// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/target/hvt/tender/guest.hpp>
#include <mirage/target/hvt/tender/move.hpp>

namespace mirage::target::hvt {

namespace {

namespace tender = mirage::tender;
using tender::fail;
using tender::Result;

/// Guest memory comes in steps of 2 MiB; `requested` is rounded down, but to one step at least.
Result<std::uint64_t> memory_size(std::uint64_t requested) {
  if (requested > memory_limit) {
    return fail("guest memory is at most 4096 MiB");
  }
  const std::uint64_t size = requested < memory_step ? memory_step : requested & ~(memory_step - 1);
  if (size != requested) {
    tender::Line note;
    note << "adjusting memory to " << size << " bytes";
    tender::print_error("mirage-hvt", note);
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
  const auto file = tender::open_image(options.kernel);
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

/// Where the image can use it, a device has direct I/O, and the host's kernel has such a ring and lets us have it.
Result<> open_queue(Guest& guest) {
  if ((guest.image.wanted & solo5::block_queue) == 0 || std::ranges::none_of(guest.devices.all(), queued)) {
    return {};
  }
  if (!guest.queue.emplace().open(guest.devices.all())) {
    guest.queue.reset();
    return {};
  }
  return guest.waits->add(guest.queue->descriptor(), 0);  // no device has that index
}

Result<> attach(const tender::Options& options, Guest& guest) {
  auto devices = tender::attach_devices(guest.image.manifest, options, tender::wanted_offloads(guest.image.wanted));
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
  return open_queue(guest);
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
  const auto grant = negotiate(guest.image, guest.devices, guest.queue.has_value());
  if (!grant) {
    return std::unexpected{grant.error()};
  }
  guest.grant = *grant;
  return write_boot_info(*guest.memory, guest.image, options, guest.machine->cycle_frequency(), guest.grant);
}

}  // namespace

Result<> prepare(const tender::Options& options, Guest& guest) {
  return load(options, guest).and_then([&] { return attach(options, guest); }).and_then([&] {
    return make_machine(options, guest);
  });
}

}  // namespace mirage::target::hvt
