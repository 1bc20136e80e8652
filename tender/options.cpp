// SPDX-License-Identifier: ISC
#include <algorithm>
#include <charconv>
#include <limits>

#include <tender/options.hpp>

namespace mirage::tender {

namespace {

/// The largest --mem that is accepted: 16 TiB, in MiB.
constexpr std::uint64_t memory_limit = std::uint64_t{1} << 24;

/// Reads a whole decimal number not above `limit`.
std::optional<std::uint64_t> number(std::string_view text, std::uint64_t limit) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > limit) {
    return std::nullopt;
  }
  return value;
}

/// Reads "xx:xx:xx:xx:xx:xx"; one digit per octet is accepted too.
std::optional<MacAddress> mac_address(std::string_view text) {
  MacAddress mac{};
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const std::size_t colon = std::min(text.find(':'), text.size());
    const auto [end, error] = std::from_chars(text.data(), text.data() + colon, mac[i], 16);
    const bool last = i + 1 == mac.size();
    if (error != std::errc{} || end != text.data() + colon || colon > 2 || (colon == text.size()) != last) {
      return std::nullopt;
    }
    text.remove_prefix(last ? colon : colon + 1);
  }
  return mac;
}

/// "NAME=VALUE" behind an option's prefix; the value runs to the end of the argument.
struct Assignment {
  std::string_view name;
  const char* value;
};

std::optional<Assignment> assignment(const char* text) {
  const std::string_view view{text};
  const std::size_t equals = view.find('=');
  if (equals == 0 || equals == std::string_view::npos || equals + 1 == view.size()) {
    return std::nullopt;
  }
  return Assignment{view.substr(0, equals), text + equals + 1};
}

Result<DeviceOption*> device(Options& options, std::string_view name, bool is_net) {
  for (DeviceOption& known : std::span{options.device_storage.data(), options.device_count}) {
    if (known.name == name && known.is_net == is_net) {
      return &known;
    }
  }
  if (options.device_count == Options::device_limit) {
    return fail("more than ", Options::device_limit, " devices");
  }
  DeviceOption& added = options.device_storage[options.device_count++];
  added = DeviceOption{};
  added.name = name;
  added.is_net = is_net;
  return &added;
}

Result<> set_source(DeviceOption& option, const char* value) {
  if (option.source != nullptr) {
    return fail(Quoted{option.name}, " is attached twice");
  }
  option.source = value;
  return {};
}

Result<> set_mac(DeviceOption& option, const char* value) {
  const auto mac = mac_address(value);
  if (!mac) {
    return fail("invalid MAC address ", Quoted{value}, ": write it like 02:00:00:00:00:01");
  }
  if (((*mac)[0] & 1) != 0) {
    return fail("invalid MAC address ", Quoted{value}, ": it is a group address");
  }
  option.mac = mac;
  return {};
}

Result<> set_mtu(DeviceOption& option, const char* value) {
  const auto mtu = number(value, 65535);
  if (!mtu || *mtu < 68) {
    return fail("invalid MTU ", Quoted{value}, ": give 68 to 65535");
  }
  option.mtu = static_cast<std::uint16_t>(*mtu);
  return {};
}

Result<> set_block_size(DeviceOption& option, const char* value) {
  const auto size = number(value, std::numeric_limits<std::uint16_t>::max());
  if (!size || *size < 512 || (*size & (*size - 1)) != 0) {
    // The wording of Solo5's tender is kept inside ours: its test-suite looks for it.
    return fail("Block size must be a multiple of 2 greater than or equal 512 (a power of two, at most 32768), not ",
                Quoted{value});
  }
  option.block_size = static_cast<std::uint16_t>(*size);
  return {};
}

Result<> set_direct(DeviceOption& option, const char* value) {
  const std::string_view text{value};
  if (text != "on" && text != "off") {
    return fail("--block-direct is 'on' or 'off', not ", Quoted{value});
  }
  option.direct = text == "on";
  return {};
}

/// Options of the form PREFIX NAME=VALUE.
struct DevicePrefix {
  std::string_view prefix;
  bool is_net;
  Result<> (*apply)(DeviceOption&, const char* value);
};
constexpr std::array<DevicePrefix, 6> device_prefixes{{
    {"--net:", true, set_source},
    {"--net-mac:", true, set_mac},
    {"--net-mtu:", true, set_mtu},
    {"--block:", false, set_source},
    {"--block-sector-size:", false, set_block_size},
    {"--block-direct:", false, set_direct},
}};

Result<> set_memory(Options& options, std::string_view value) {
  const auto mebibytes = number(value, memory_limit);
  if (!mebibytes) {
    return fail("invalid --mem ", Quoted{value}, ": give the guest's memory in MiB");
  }
  if (*mebibytes < 2) {
    return fail("--mem must be at least 2: images begin at 1 MiB");
  }
  options.memory_size = *mebibytes << 20;
  return {};
}

/// Applies an option for a device; nothing when `text` is none.
std::optional<Result<>> device_option(Options& options, const char* text) {
  for (const DevicePrefix& known : device_prefixes) {
    if (!std::string_view{text}.starts_with(known.prefix)) {
      continue;
    }
    const auto parts = assignment(text + known.prefix.size());
    if (!parts) {
      return fail("malformed ", Quoted{text}, ": write ", known.prefix, "NAME=VALUE");
    }
    const auto option = device(options, parts->name, known.is_net);
    return option ? known.apply(**option, parts->value) : Result<>{std::unexpected{option.error()}};
  }
  return std::nullopt;
}

std::optional<Result<>> extra_option(std::span<const ExtraOption> extra, void* context, const char* text) {
  const std::string_view view{text};
  for (const ExtraOption& known : extra) {
    const bool takes_value = known.name.ends_with('=');
    if (takes_value ? view.starts_with(known.name) : view == known.name) {
      return known.apply(context, text + known.name.size());
    }
  }
  return std::nullopt;
}

Result<> apply(Options& options, std::span<const ExtraOption> extra, void* context, const char* text) {
  const std::string_view view{text};
  if (view.starts_with("--mem=")) {
    return set_memory(options, view.substr(6));
  }
  if (const auto done = device_option(options, text)) {
    return *done;
  }
  if (const auto done = extra_option(extra, context, text)) {
    return *done;
  }
  return fail("unknown option ", Quoted{view}, " (see --help)");
}

/// Every device that something was said about must be attached.
Result<> check_sources(const Options& options) {
  for (const DeviceOption& option : options.devices()) {
    if (option.source == nullptr) {
      return fail("nothing attaches ", Quoted{option.name}, ": add ",
                  option.is_net ? "--net:" : "--block:", option.name, option.is_net ? "=IFACE" : "=FILE");
    }
  }
  return {};
}

}  // namespace

Result<Options> parse_options(std::span<char* const> arguments, std::span<const ExtraOption> extra, void* context) {
  Options options;
  std::size_t next = 0;
  for (; next < arguments.size() && arguments[next][0] == '-'; ++next) {
    const std::string_view text{arguments[next]};
    if (text == "--") {
      ++next;
      break;
    }
    if (text == "--help" || text == "-h") {
      options.help = true;
      return options;
    }
    if (text == "--version") {
      options.version = true;
      return options;
    }
    if (const auto applied = apply(options, extra, context, arguments[next]); !applied) {
      return std::unexpected{applied.error()};
    }
  }
  if (next == arguments.size()) {
    return fail("no image given (see --help)");
  }
  if (const auto checked = check_sources(options); !checked) {
    return std::unexpected{checked.error()};
  }
  options.kernel = arguments[next];
  options.arguments = arguments.subspan(next + 1);
  return options;
}

Result<> join_arguments(std::span<char* const> arguments, std::span<std::byte> out) {
  std::size_t used = 0;
  bool first = true;
  for (const char* argument : arguments) {
    const std::string_view text{argument};
    const std::size_t needed = text.size() + (first ? 0 : 1);
    if (needed >= out.size() - used) {
      return fail("the guest's command line is longer than ", out.size() - 1, " bytes");
    }
    if (!first) {
      out[used++] = std::byte{' '};
    }
    std::ranges::copy(std::as_bytes(std::span{text}), out.begin() + static_cast<std::ptrdiff_t>(used));
    used += text.size();
    first = false;
  }
  out[used] = std::byte{0};
  return {};
}

}  // namespace mirage::tender
