// SPDX-License-Identifier: ISC
#include <array>
#include <cstdlib>

#include <mirage/base/text.hpp>
#include <mirage/target/unix/attachment.hpp>

namespace mirage::target::posix {

namespace {

struct Form {
  std::string_view option;
  std::string_view variable;
};
/// In the order of Attachment.
constexpr std::array<Form, 5> forms{{{"--net:", "MIRAGE_NET_"},
                                     {"--net-mac:", "MIRAGE_NET_MAC_"},
                                     {"--net-mtu:", "MIRAGE_NET_MTU_"},
                                     {"--block:", "MIRAGE_BLOCK_"},
                                     {"--block-sector-size:", "MIRAGE_BLOCK_SECTOR_SIZE_"}}};

/// A variable's name, NUL-terminated.
class Variable {
 public:
  Variable(const Form& form, std::string_view device) noexcept : text_("{}{}{}", form.variable, device, '\0') {}
  [[nodiscard]] const char* get() const noexcept { return text_.view().data(); }

 private:
  Text<128> text_;
};

bool take(const char* argument) noexcept {
  const std::string_view text{argument};
  for (const Form& form : forms) {
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
  return std::getenv(Variable{forms[static_cast<std::size_t>(kind)], name}.get());
}

void take_attachments(int& argument_count, char** arguments) noexcept {
  int kept = 0;
  for (int i = 0; i < argument_count; ++i) {
    if (i == 0 || !take(arguments[i])) arguments[kept++] = arguments[i];
  }
  arguments[kept] = nullptr;
  argument_count = kept;
}

}  // namespace mirage::target::posix
