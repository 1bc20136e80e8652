// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <tender/error.hpp>

/// The command line of a tender: Solo5's options and ours.
namespace mirage::tender {

using MacAddress = std::array<std::uint8_t, 6>;

/// What was said about one device, in any order. Views and pointers are into argv.
struct DeviceOption {
  std::string_view name;
  bool is_net = false;
  const char* source = nullptr;      // interface, "@FD" or path; NUL-terminated
  std::optional<MacAddress> mac;     // net
  std::optional<std::uint16_t> mtu;  // net
  std::uint16_t block_size = 0;      // block; 0: not given
  bool direct = false;               // block: past the host's page cache
  bool read_only = false;            // block: not writable, even if the file is
};

struct Options {
  static constexpr std::size_t device_limit = 64;

  std::uint64_t memory_size = std::uint64_t{512} << 20;  // bytes, whole MiB
  const char* kernel = nullptr;
  std::span<char* const> arguments;  // for the guest
  std::array<DeviceOption, device_limit> device_storage;
  std::size_t device_count = 0;
  bool help = false;
  bool version = false;

  [[nodiscard]] std::span<const DeviceOption> devices() const { return {device_storage.data(), device_count}; }
};

/// An option that only one tender has. `apply` gets the text behind '=' ("" for a flag).
struct ExtraOption {
  std::string_view name;   // "--gdb" or "--dumpcore="; a trailing '=' means that it takes a value
  std::string_view usage;  // "--dumpcore=DIR"
  std::string_view help;   // one line
  Result<> (*apply)(void* context, const char* value);
};

/// Reads `arguments` (argv without the program's name): options, then `--` or not, the image, the guest's arguments.
Result<Options> parse_options(std::span<char* const> arguments, std::span<const ExtraOption> extra = {},
                              void* context = nullptr);

/// Prints the help text to `descriptor`. `program` is for example "mirage-spt".
void print_help(int descriptor, std::string_view program, std::span<const ExtraOption> extra = {});

/// Writes the guest's arguments, joined by spaces and NUL-terminated, to `out`; too long is an error.
Result<> join_arguments(std::span<char* const> arguments, std::span<std::byte> out);

}  // namespace mirage::tender
