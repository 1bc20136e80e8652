// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstdlib>

#include <mirage/base/text.hpp>
#include <mirage/target/unix/attachment.hpp>

namespace mirage::target::posix {

namespace {

struct Form {
  std::string_view option;
  std::string_view variable;
};
constexpr Form form_of(Attachment kind) noexcept {
  switch (kind) {
    case Attachment::net:
      return {"--net:", "MIRAGE_NET_"};
    case Attachment::net_mac:
      return {"--net-mac:", "MIRAGE_NET_MAC_"};
    case Attachment::net_mtu:
      return {"--net-mtu:", "MIRAGE_NET_MTU_"};
    case Attachment::block:
      return {"--block:", "MIRAGE_BLOCK_"};
    case Attachment::block_sector_size:
      return {"--block-sector-size:", "MIRAGE_BLOCK_SECTOR_SIZE_"};
    case Attachment::block_direct:
      break;
  }
  return {"--block-direct:", "MIRAGE_BLOCK_DIRECT_"};
}

/// A variable's name, NUL-terminated.
class Variable {
 public:
  Variable(const Form& form, std::string_view device) noexcept : text_("{}{}{}", form.variable, device, '\0') {}
  [[nodiscard]] const char* get() const noexcept { return text_.view().data(); }

 private:
  Text<128> text_;
};

constexpr std::string_view shard_option = "--shard=";
constexpr const char* shard_variable = "MIRAGE_SHARD";

constexpr std::size_t longest_name = 67;  // as in a tender's manifest

enum class Taken : std::uint8_t { no, yes, refused };

/// "net" for --net:, --net-mac: and --net-mtu:, "block" for the others.
std::string_view type_of(std::string_view option) noexcept { return option.starts_with("--net") ? "net" : "block"; }
std::string_view title_of(std::string_view type) noexcept { return type == "net" ? "network" : "block device"; }

/// The devices that there are, and where to say so; without it there may be any.
struct Declared {
  std::span<const std::string_view> devices;
  LogSink& output;
};

void refuse(std::string_view type, std::string_view name, const Declared& declared) noexcept {
  Text<Log::maximum_line> line{"error: the image declares no {} '{}'; it declares ", title_of(type), name};
  if (declared.devices.empty()) line.writer().append("no device");
  bool first = true;
  for (const std::string_view device : declared.devices) {
    const std::size_t colon = device.find(':');
    format_to<std::string_view, std::string_view, std::string_view>(
        line.writer(), "{}{} '{}'", first ? "" : ", ", title_of(device.substr(0, colon)), device.substr(colon + 1));
    first = false;
  }
  declared.output.write_line(line);
}

Taken take(const char* argument, const Declared* declared) noexcept {
  const std::string_view text{argument};
  if (text.starts_with(shard_option)) {
    return ::setenv(shard_variable, argument + shard_option.size(), 1) == 0 ? Taken::yes : Taken::no;
  }
  for (const Attachment kind : {Attachment::net, Attachment::net_mac, Attachment::net_mtu, Attachment::block,
                                Attachment::block_sector_size, Attachment::block_direct}) {
    const Form form = form_of(kind);
    const std::size_t equals = text.find('=');
    if (!text.starts_with(form.option) || equals == std::string_view::npos) continue;
    const std::string_view type = type_of(form.option);
    const std::string_view name = text.substr(form.option.size(), equals - form.option.size());
    const bool known =
        declared == nullptr || std::ranges::any_of(declared->devices, [&](std::string_view device) {
          return device.size() == type.size() + 1 + name.size() && device.starts_with(type) && device.ends_with(name);
        });
    if (!known) {
      refuse(type, name, *declared);
      return Taken::refused;
    }
    return name.size() <= longest_name && ::setenv(Variable{form, name}.get(), argument + equals + 1, 1) == 0
               ? Taken::yes
               : Taken::no;
  }
  return Taken::no;
}

bool take_all(int& argument_count, char** arguments, const Declared* declared) noexcept {
  int kept = 0;
  for (int i = 0; i < argument_count; ++i) {
    const Taken taken = i == 0 ? Taken::no : take(arguments[i], declared);
    if (taken == Taken::refused) return false;
    if (taken == Taken::no) arguments[kept++] = arguments[i];
  }
  arguments[kept] = nullptr;
  argument_count = kept;
  return true;
}

}  // namespace

const char* find_attachment(Attachment kind, std::string_view name) noexcept {
  if (name.size() > longest_name) return nullptr;
  return std::getenv(Variable{form_of(kind), name}.get());
}

const char* find_shard() noexcept { return std::getenv(shard_variable); }

void take_attachments(int& argument_count, char** arguments) noexcept {
  (void)take_all(argument_count, arguments, nullptr);
}

bool take_attachments(int& argument_count, char** arguments, std::span<const std::string_view> devices,
                      LogSink& output) noexcept {
  const Declared declared{devices, output};
  return take_all(argument_count, arguments, &declared);
}

}  // namespace mirage::target::posix
