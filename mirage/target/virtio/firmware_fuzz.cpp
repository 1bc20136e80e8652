// SPDX-License-Identifier: ISC
// Everything that the guest reads of what firmware and loader left: the input is all of memory.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include <mirage/target/virtio/acpi.hpp>
#include <mirage/target/virtio/command_line.hpp>
#include <mirage/target/virtio/start_info.hpp>

using namespace mirage;
using namespace mirage::target::virtio;

namespace {

class InputMemory final : public PhysicalMemory {
 public:
  explicit InputMemory(Bytes bytes) : bytes_(bytes) {}
  Bytes view(std::uint64_t address, std::size_t size) noexcept override {
    return within(address, size) ? bytes_.subspan(address, size) : Bytes{};
  }

 private:
  [[nodiscard]] bool within(std::uint64_t address, std::size_t size) const {
    return size != 0 && address <= bytes_.size() && size <= bytes_.size() - address;
  }
  Bytes bytes_;
};

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  InputMemory memory{input};
  if (const auto info = parse_start_info(memory, 0)) {
    for (const MemoryRange& range : info->memory()) require(range.begin < range.end);
    (void)read_acpi(memory, info->rsdp);
  }
  (void)read_acpi(memory, 16);
  AcpiInfo acpi;
  scan_dsdt(input, acpi);
  require(acpi.mmio.count <= maximum_mmio_devices);
  MmioDevices devices;
  std::vector<char> out(size);
  require(strip_command_line(as_text(input), out, devices) <= size);
  return 0;
}
