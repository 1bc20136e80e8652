// SPDX-License-Identifier: ISC
// mirage-shards: starts an image of the target unix once per CPU. The image is an ordinary program; it gets its queue,
// its place among the shards and the memory that they share as options (mirage/target/unix/attachment.hpp).
#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <tender/shard.hpp>

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

  /// Keeps a copy of a word that was put together.
  Result<> compose(const Line& word) {
    const std::string_view text = word.text();
    if (text.size() >= text_.size() - used_) {
      return fail("the command line is too long");
    }
    char* copy = text_.data() + used_;
    *std::ranges::copy(text, copy).out = '\0';
    used_ += text.size() + 1;
    return add(copy);
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

void append_mac(Line& line, const MacAddress& mac) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = 0; i < mac.size(); ++i) {
    line << (i == 0 ? "" : ":") << digits.substr(mac[i] >> 4, 1) << digits.substr(mac[i] & 15, 1);
  }
}

Result<> add_device(CommandLine& command, const DeviceOption& option) {
  Line source;
  source << (option.is_net ? "--net:" : "--block:") << option.name << "=" << option.source;
  if (auto added = command.compose(source); !added) {
    return added;
  }
  Line detail;
  if (option.mac) {
    detail << "--net-mac:" << option.name << "=";
    append_mac(detail, *option.mac);
    if (auto added = command.compose(detail); !added) {
      return added;
    }
  }
  if (option.mtu) {
    detail = {};
    detail << "--net-mtu:" << option.name << "=" << *option.mtu;
    return command.compose(detail);
  }
  if (option.block_size != 0) {
    detail << "--block-sector-size:" << option.name << "=" << option.block_size;
    if (auto added = command.compose(detail); !added) {
      return added;
    }
  }
  if (option.direct) {
    detail = {};
    detail << "--block-direct:" << option.name << "=on";
    return command.compose(detail);
  }
  return {};
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
  return command.compose(place);
}

Result<> become_image(const Options& options, const ShardShare& share) {
  CommandLine command{options.kernel};
  for (const DeviceOption& option : options.devices()) {
    if (const auto added = add_device(command, option); !added) {
      return added;
    }
    if (option.is_net && option.source[0] == '@') {
      int descriptor = 0;
      for (const char* digit = option.source + 1; *digit >= '0' && *digit <= '9' && descriptor < 1'000'000; ++digit) {
        descriptor = descriptor * 10 + (*digit - '0');
      }
      inherit(descriptor);
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
