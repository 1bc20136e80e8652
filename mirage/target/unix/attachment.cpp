// SPDX-License-Identifier: ISC
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

bool take(const char* argument) noexcept {
  const std::string_view text{argument};
  if (text.starts_with(shard_option)) return ::setenv(shard_variable, argument + shard_option.size(), 1) == 0;
  for (const Attachment kind : {Attachment::net, Attachment::net_mac, Attachment::net_mtu, Attachment::block,
                                Attachment::block_sector_size, Attachment::block_direct}) {
    const Form form = form_of(kind);
    const std::size_t equals = text.find('=');
    if (!text.starts_with(form.option) || equals == std::string_view::npos) continue;
    const std::string_view device = text.substr(form.option.size(), equals - form.option.size());
    return device.size() < 64 && ::setenv(Variable{form, device}.get(), argument + equals + 1, 1) == 0;
  }
  return false;
}

}  // namespace

const char* find_attachment(Attachment kind, std::string_view name) noexcept {
  if (name.size() >= 64) return nullptr;
  return std::getenv(Variable{form_of(kind), name}.get());
}

const char* find_shard() noexcept { return std::getenv(shard_variable); }

void take_attachments(int& argument_count, char** arguments) noexcept {
  int kept = 0;
  for (int i = 0; i < argument_count; ++i) {
    if (i == 0 || !take(arguments[i])) arguments[kept++] = arguments[i];
  }
  arguments[kept] = nullptr;
  argument_count = kept;
}

}  // namespace mirage::target::posix
