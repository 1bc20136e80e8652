// SPDX-License-Identifier: ISC
// mirage-shards: starts an image of the target unix once per CPU. The image is an ordinary program; it gets its queue,
// its place among the shards and the memory that they share as options (mirage/target/unix/attachment.hpp).
#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <tender/privilege.hpp>
#include <tender/shard.hpp>
#include <tender/tap.hpp>

namespace {

using namespace mirage::tender;

constexpr std::string_view program = "mirage-shards";

Result<> apply_cpus(void* context, const char* value) {
  const auto count = parse_cpus(value);
  if (!count) {
    return std::unexpected{count.error()};
  }
  *static_cast<std::uint16_t*>(context) = *count;
  return {};
}

constexpr std::array<ExtraOption, 1> extra_options{
    {{"--cpus=", "--cpus=N", "processes to start, each on a core of its own (default 1)", apply_cpus}}};

/// The words that the image is started with.
class CommandLine {
 public:
  explicit CommandLine(const char* image) { (void)add(image); }  // there is room for the first

  /// Keeps a word that is put together from `parts`.
  Result<> compose(std::initializer_list<std::string_view> parts) {
    char* const word = text_.data() + used_;
    for (const std::string_view part : parts) {
      if (part.size() >= text_.size() - used_) {
        return fail("the command line is too long");
      }
      std::ranges::copy(part, text_.data() + used_);
      used_ += part.size();
    }
    text_[used_++] = '\0';
    return add(word);
  }
  Result<> add(const char* word) {
    if (count_ + 1 == words_.size()) {
      return fail("the command line has more than ", count_, " words");
    }
    words_[count_++] = const_cast<char*>(word);  // NOLINT(cppcoreguidelines-pro-type-const-cast): as execv wants it
    return {};
  }
  [[nodiscard]] char* const* words() const { return words_.data(); }

 private:
  std::array<char*, 512> words_{};
  std::size_t count_ = 0;
  std::array<char, 16384> text_{};
  std::size_t used_ = 0;
};

Line in_decimal(unsigned number) {
  Line line;
  return line << number;
}

Line spelled(const MacAddress& mac) {
  constexpr std::string_view digits = "0123456789abcdef";
  Line line;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    line << (i == 0 ? "" : ":") << digits.substr(mac[i] >> 4, 1) << digits.substr(mac[i] & 15, 1);
  }
  return line;
}

Result<> add_device(CommandLine& command, const DeviceOption& option) {
  auto added = command.compose({option.is_net ? "--net:" : "--block:", option.name, "=", option.source});
  if (added && option.mac) {
    added = command.compose({"--net-mac:", option.name, "=", spelled(*option.mac).text()});
  }
  if (added && option.mtu) {
    added = command.compose({"--net-mtu:", option.name, "=", in_decimal(*option.mtu).text()});
  }
  if (added && option.block_size != 0) {
    added = command.compose({"--block-sector-size:", option.name, "=", in_decimal(option.block_size).text()});
  }
  if (added && option.direct) {
    added = command.compose({"--block-direct:", option.name, "=on"});
  }
  return added;
}

/// What the image inherits stays open when it starts.
void inherit(int descriptor) { ::fcntl(descriptor, F_SETFD, 0); }

/// "--shard=1/2,MEMORY,BELL,BELL".
Result<> add_place(CommandLine& command, const ShardShare& share) {
  Line place;
  place << "--shard=" << share.index << "/" << share.count << "," << share.memory;
  inherit(share.memory);
  for (const int bell : share.all_bells()) {
    place << "," << bell;
    inherit(bell);
  }
  return command.compose({place.text()});
}

Result<> become_image(const Options& options, const ShardShare& share) {
  CommandLine command{options.kernel};
  for (const DeviceOption& option : options.devices()) {
    if (const auto added = add_device(command, option); !added) {
      return added;
    }
    if (const auto given = option.is_net ? given_descriptor(option.source) : std::nullopt) {
      inherit(*given);
    }
  }
  if (share.count > 1) {
    if (const auto added = add_place(command, share); !added) {
      return added;
    }
  }
  for (const char* argument : options.arguments) {
    if (const auto added = command.add(argument); !added) {
      return added;
    }
  }
  ::execv(options.kernel, command.words());
  return fail("cannot execute ", Quoted{options.kernel}, ": ", Errno{errno});
}

Result<int> run(std::span<char* const> arguments) {
  if (const auto opened = open_standard_descriptors(); !opened) {
    return std::unexpected{opened.error()};
  }
  std::uint16_t count = 1;
  auto options = parse_options(arguments, extra_options, &count);
  if (!options) {
    return std::unexpected{options.error()};
  }
  if (options->help || options->version) {
    if (options->help) {
      print_help(STDOUT_FILENO, program, extra_options);
    } else {
      constexpr std::string_view text = "mirage-shards " MIRAGE_VERSION "\n";
      [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
    }
    return 0;
  }
  ShardShare share;
  if (count > 1) {
    if (const auto checked = check_shareable(*options, count); !checked) {
      return std::unexpected{checked.error()};
    }
    const auto started = start_shards(*options, count, false);
    if (!started) {
      return std::unexpected{started.error()};
    }
    share = *started;
  }
  const auto done = become_image(*options, share);
  return std::unexpected{done.error()};
}

}  // namespace

int main(int argc, char** argv) {
  const auto count = static_cast<std::size_t>(argc);
  const auto status = run(std::span{argv, count}.subspan(count > 0 ? 1 : 0));
  if (!status) {
    print_error(program, status.error());
    return 1;
  }
  return *status;
}
