// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <format>
#include <fstream>
#include <map>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cli/net_interface.hpp>
#include <cli/runner.hpp>
#include <config/error.hpp>
#include <config/text.hpp>
#include <mirage/base/option.hpp>

namespace mirage::cli {

namespace {

using plan::Error;
using plan::Words;
using Names = std::map<std::string, std::string>;

/// In one go: braces in a value (a file's name) are its own.
std::string filled(std::string_view text, const Names& names) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = std::min(text.find('{', at), text.size());
    out += text.substr(at, open - at);
    if (open == text.size()) break;
    const std::size_t close = text.find('}', open);
    const auto found =
        close == text.npos ? names.end() : names.find(std::string{text.substr(open + 1, close - open - 1)});
    out += found == names.end() ? "{" : found->second;
    at = found == names.end() ? open + 1 : close + 1;
  }
  return out;
}

/// A file's name within a list of options as QEMU reads it: a comma is doubled, and what has a colon before any slash
/// would be a protocol and its address.
std::string as_listed(const std::string& file) {
  const std::string_view first = std::string_view{file}.substr(0, file.find('/'));
  return plan::replaced((first.contains(':') ? "./" : "") + file, ",", ",,");
}

void append_filled(Words& out, const Words& words, const Names& names) {
  for (const auto& word : words) out.push_back(filled(word, names));
}

std::uint16_t parse_port(const std::string& text, const std::string& whole) {
  std::uint16_t port = 0;
  if (!parse_value(text, port) || port == 0) {
    throw plan::UsageError(
        "", std::format("bad port forwarding '{}'", whole),
        "Say -p HOST:GUEST, such as -p 8080:80, -p 5353:53/udp or, with an IPv4 address, -p 0.0.0.0:8080:80.");
  }
  return port;
}

/// Why the host's end of a forwarding cannot be had: 0, or an errno.
int refusal_of(const Forward& forward) {
  const int type = forward.protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  const int descriptor = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return 0;
  const int yes = 1;
  (void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(forward.host);
  address.sin_addr.s_addr = inet_addr(forward.address.c_str());
  const bool is_free = bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  close(descriptor);
  return is_free ? 0 : error;
}

void refuse(const Forward& forward, int error) {
  if (error == EADDRNOTAVAIL) {
    throw Error("", std::format("the host has no address {}", forward.address),
                std::format("Leave it away: -p {}:{}.", forward.host, forward.guest));
  }
  const int other = error == EACCES && forward.host < 1024 ? forward.host + 8000
                    : forward.host == 65535                ? forward.host - 1
                                                           : forward.host + 1;
  throw Error("",
              error == EADDRINUSE
                  ? std::format("port {} of the host is in use", forward.host)
                  : std::format("port {} of the host cannot be had: {}", forward.host, std::strerror(error)),
              std::format("Choose another: -p {}:{}.", other, forward.guest));
}

/// The values that keys will have at run time: as the image reads its arguments (mirage/base/option.hpp), else its
/// defaults.
Names values_at_run_time(const plan::Plan& plan, const Words& arguments) {
  Names values;
  for (const auto& planned : plan.keys) values[planned.key.name] = planned.value.value_or("");
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const auto equals = word.find('=');
    const auto* planned = word.starts_with("--") ? plan.find_key(word.substr(2, equals - 2)) : nullptr;
    if (planned == nullptr) continue;
    std::string& value = values[planned->key.name];
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (planned->key.type == "bool") {
      value = "true";
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    }
  }
  return values;
}

/// Moves the host's end to a port that nobody has now or has chosen, and none of `others`: the next one within 100,
/// else it stays.
TakenPort find_free(Forward& forward, const std::vector<Forward>& others) {
  TakenPort chosen;
  const std::uint16_t wanted = forward.host;
  const auto is_free = [&] {
    return std::ranges::find(others, forward.host, &Forward::host) == others.end() && refusal_of(forward) == 0 &&
           chosen.take(forward.protocol, forward.host);
  };
  for (int turn = 0; turn < 100; ++turn) {
    if (is_free()) return chosen;
    forward.host = static_cast<std::uint16_t>(forward.host == 65535 ? 1024 : forward.host + 1);
  }
  forward.host = wanted;
  return chosen;
}

void choose_forwards(const plan::Plan& plan, const Words& arguments, Launch& launch) {
  auto& forwards = launch.forwards;
  const auto values = values_at_run_time(plan, arguments);
  for (const auto& planned : plan.keys) {
    if (planned.key.type != "u16" || (planned.key.name != "port" && !planned.key.name.ends_with("-port"))) continue;
    Forward forward;
    if (!parse_value(values.at(planned.key.name), forward.guest) || forward.guest == 0) continue;
    if (std::ranges::find(forwards, forward.guest, &Forward::guest) != forwards.end()) continue;
    forward.host = static_cast<std::uint16_t>(forward.guest < 1024 ? forward.guest + 8000 : forward.guest);
    launch.taken_ports.push_back(find_free(forward, forwards));
    forward.or_next = true;
    forwards.push_back(forward);
  }
}

/// "NAME=VALUE" options by name; each must be a device of the image.
Names devices_given(const plan::Plan& plan, const Words& options, const char* option, const char* device,
                    const char* value) {
  Names given;
  for (const auto& text : options) {
    const auto equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (equals == std::string::npos || equals + 1 == text.size()) {
      throw plan::UsageError("", std::format("bad value '{}' for {}", text, option),
                             std::format("Say {} NAME={}.", option, value));
    }
    std::string names;
    for (const auto& instance : plan.instances) {
      if (instance.device == device) names += (names.empty() ? "" : ", ") + instance.device_name;
    }
    const auto known = std::ranges::find(plan.instances, name, &plan::Instance::device_name);
    if (known == plan.instances.end() || known->device != device) {
      throw plan::UsageError(
          "", std::format("the image has no {} device '{}'", device, name),
          names.empty() ? std::format("It has none of this type.") : std::format("It has: {}.", names));
    }
    if (!given.try_emplace(name, text.substr(equals + 1)).second) {
      throw plan::UsageError("", std::format("{} device '{}' is given twice", device, name),
                             std::format("Say {} once for each device.", option));
    }
  }
  return given;
}

/// Accelerated virtual machines need the device and a CPU that can: a /dev/kvm may exist without that.
bool kvm_is_usable() {
  if (access("/dev/kvm", R_OK | W_OK) != 0) return false;
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with("flags")) return line.contains(" vmx") || line.contains(" svm");
    if (line.starts_with("CPU implementer")) return true;  // aarch64 lists no such flag
  }
  return false;
}

class Launcher {
 public:
  Launcher(const plan::Plan& plan, const RunOptions& options, const std::string& image, const std::string& binary)
      : plan_(plan), run_(plan.target->run), options_(options), image_(image), binary_(binary) {}

  Launch make() {
    check_cpus();
    check_together();
    if (options_.memory != 0) check_use("--mem", "{memory}");
    if (!options_.accelerator.empty()) check_use("--accel", "{accelerator}");
    add_devices();
    Names names{{"image", image_},
                {"count", std::to_string(options_.cpus)},
                {"memory", std::to_string(memory())},
                {"accelerator", accelerator()},
                {"command_line", command_line()}};
    const bool alone = options_.cpus == 1;
    launch_.command.push_back(program(filled(alone ? run_.program : run_.cpus_program, names)));
    for (const auto& word : alone ? run_.arguments : run_.cpus_arguments) {
      if (word == "{devices}") {
        launch_.command.insert(launch_.command.end(), device_words_.begin(), device_words_.end());
      } else if (word == "{arguments}" || word == "{quoted_arguments}") {
        // A command line that the guest splits again like a shell keeps its words only if they are quoted.
        for (const auto& argument : options_.arguments) {
          launch_.command.push_back(word == "{arguments}" ? argument : plan::shell_line({argument}));
        }
      } else {
        launch_.command.push_back(filled(word, names));
      }
    }
    return std::move(launch_);
  }

 private:
  void check_cpus() const {
    if (options_.cpus == 1) return;
    if (run_.cpus_program.empty()) {
      throw Error("", std::format("an image for {} runs on one CPU", plan_.target->name), "Leave --cpus away.");
    }
    const auto* configured = plan_.find_key("cpus");
    if (configured == nullptr || configured->value != "many") {
      throw Error("", "the image is configured for one CPU", "Say mirage configure --cpus=many, then mirage build.");
    }
  }

  /// The guest's arguments as one line. One that is too long would be cut, or be reported by the guest as something
  /// else.
  [[nodiscard]] std::string command_line() const {
    auto line = plan::shell_line(options_.arguments);
    if (run_.longest_command_line == 0 || line.size() <= run_.longest_command_line) return line;
    throw Error("",
                std::format("the command line of the image has {} bytes, and {} passes {}", line.size(), run_.program,
                            run_.longest_command_line),
                "Make a key's value the image's default: mirage configure --NAME=VALUE, then mirage build.");
  }

  /// As the plan refuses them for the image's defaults: each is good, and together they leave nothing.
  void check_together() const {
    const auto values = values_at_run_time(plan_, options_.arguments);
    const auto is_on = [&](const std::string& name) { return values.contains(name) && values.at(name) == "true"; };
    for (const auto& planned : plan_.keys) {
      const std::string& name = planned.key.name;
      const std::string& excludes = planned.key.excludes;
      if (!is_on(name) || !is_on(excludes)) continue;
      throw plan::UsageError("", std::format("--{} and --{} leave nothing", name, excludes), "Give one of them.");
    }
  }

  /// Whether the target's command says anything of an option.
  void check_use(std::string_view option, std::string_view placeholder) const {
    const auto says = [&](const std::string& word) { return word.contains(placeholder); };
    if (std::ranges::any_of(run_.arguments, says) || std::ranges::any_of(run_.cpus_arguments, says)) return;
    throw plan::UsageError("", std::format("{} means nothing to an image for {}", option, plan_.target->name),
                           std::format("Leave {} away.", option));
  }

  [[nodiscard]] unsigned memory() const { return options_.memory == 0 ? plan_.memory : options_.memory; }
  /// In user mode nothing behind the helper limits the MTU. Large frames are three times as fast, but pin large
  /// buffers.
  [[nodiscard]] unsigned user_mtu() const { return memory() >= 16 ? 9000 : 1500; }

  [[nodiscard]] std::string accelerator() const {
    return !options_.accelerator.empty() ? options_.accelerator : kvm_is_usable() ? "kvm" : "tcg";
  }

  [[nodiscard]] std::string program(const std::string& name) const {
    if (name.contains('/')) return name;
    std::string own = binary_ + "/" + name;
    if (access(own.c_str(), X_OK) == 0) return own;
    const auto found = plan::find_program(name);
    if (!found.empty()) return found;
    throw Error(
        "", std::format("{} is not installed", name),
        run_.package.empty() ? "It is built with mirage: ./dev build." : "Install it: apt-get install " + run_.package);
  }

  void add_devices() {
    const auto nets = devices_given(plan_, options_.nets, "--net", "net", "INTERFACE");
    const auto blocks = devices_given(plan_, options_.blocks, "--block", "block", "FILE");
    for (const auto& instance : plan_.instances) {
      if (instance.device == "net") add_net(instance.device_name, nets);
      if (instance.device == "block") add_block(instance.device_name, blocks, instance.place);
    }
    if (!options_.forwards.empty() && !user_mode_) {
      throw Error("", "-p forwards ports of a user-mode network, and the image has none",
                  nets.empty() ? "Its configuration has no network device." : "Leave --net away.");
    }
  }

  void add_net(const std::string& name, const Names& nets) {
    Names names{{"name", name}};
    if (const auto given = nets.find(name); given != nets.end()) {
      const NetInterface interface = parse_net_interface(*plan_.target, name, given->second);
      if (!options_.dry_run) check_net_interface(*plan_.target, name, interface);
      names["interface"] = interface.name;
      names["queues"] = std::to_string(interface.queues);
      append_filled(device_words_, interface.queues == 1 ? run_.interface : run_.interface_queues, names);
      if (!run_.interface_environment.empty()) launch_.environment.push_back(filled(run_.interface_environment, names));
      return;
    }
    if (user_mode_) {
      throw MissingDevice("", std::format("only one network can be in user mode; '{}' needs an interface", name),
                          std::format("Say --net {}=tap0.", name));
    }
    user_mode_ = true;
    add_forwards();
    names["descriptor"] = std::to_string(network_descriptor);
    names["mtu"] = std::to_string(user_mtu());
    for (const auto& forward : launch_.forwards) names["forwards"] += filled(run_.forward, names_of(forward));
    names.try_emplace("forwards");
    append_filled(device_words_, run_.user, names);
    if (!run_.user_environment.empty()) launch_.environment.push_back(filled(run_.user_environment, names));
    if (run_.helper) add_helper();
  }

  void add_forwards() {
    for (const auto& text : options_.forwards) {
      const auto forward = parse_forward(text);
      const auto is_same = [&](const Forward& each) {
        return each.host == forward.host && each.protocol == forward.protocol && each.address == forward.address;
      };
      if (std::ranges::any_of(launch_.forwards, is_same)) {
        throw plan::UsageError("", std::format("port {} of the host is forwarded twice", forward.host),
                               "Choose another for one of them.");
      }
      if (!options_.dry_run) take(forward);
      launch_.forwards.push_back(forward);
    }
    if (options_.forwards.empty()) choose_forwards(plan_, options_.arguments, launch_);
  }

  /// The helper opens its ports at once and says what is wrong; QEMU does later, and says that it could not set up a
  /// rule.
  void take(const Forward& forward) {
    int error = refusal_of(forward);
    TakenPort taken;
    if (error == 0 && !taken.take(forward.protocol, forward.host, forward.address) && !run_.helper) error = EADDRINUSE;
    if (error != 0) refuse(forward, error);
    launch_.taken_ports.push_back(std::move(taken));
  }

  static Names names_of(const Forward& forward) {
    return {{"protocol", forward.protocol},
            {"host", forward.address},
            {"host_port", std::to_string(forward.host)},
            {"guest_port", std::to_string(forward.guest)}};
  }

  /// The helper's network is the one that an image expects by default: 10.0.0.2/24 behind 10.0.0.1, by DHCP as well.
  void add_helper() {
    launch_.helper = {program("mirage-usernet"),
                      std::format("--fd={}", network_descriptor),
                      std::format("--ready-fd={}", ready_descriptor),
                      std::format("--mtu={}", user_mtu()),
                      "--network=10.0.0.0/24",
                      "--host=10.0.0.1",
                      "--guest=10.0.0.2",
                      "--dns=10.0.0.3"};
    for (const auto& forward : launch_.forwards) {
      launch_.helper.push_back(std::format("--forward={}:{}:{}{}:{}", forward.protocol, forward.address, forward.host,
                                           forward.or_next ? "+" : "", forward.guest));
    }
  }

  void add_block(const std::string& name, const Names& blocks, const std::string& place) {
    const auto given = blocks.find(name);
    if (given == blocks.end()) {
      throw MissingDevice(place, std::format("the disk '{}' has no file", name),
                          std::format("Say --block {}=FILE.", name));
    }
    const std::string& file = given->second;
    if (access(file.c_str(), R_OK) != 0) {
      const int error = errno;
      throw Error("", std::format("cannot read {} for disk '{}': {}", file, name, std::strerror(error)),
                  error == ENOENT ? std::format("Make one: truncate -s 1M {}.", plan::shell_line({file})) : "");
    }
    if (std::filesystem::is_directory(file)) {
      throw Error("", std::format("{} for disk '{}' is a folder", file, name), "A disk is a file or a block device.");
    }
    const Names names{{"name", name}, {"file", file}, {"listed_file", as_listed(file)}};
    append_filled(device_words_, run_.block, names);
    if (!run_.block_environment.empty()) launch_.environment.push_back(filled(run_.block_environment, names));
  }

  const plan::Plan& plan_;
  const plan::Runner& run_;
  const RunOptions& options_;
  std::string image_, binary_;
  Launch launch_;
  Words device_words_;
  bool user_mode_ = false;
};

}  // namespace

TakenPort::~TakenPort() {
  if (descriptor_ >= 0) close(descriptor_);
}

/// An abstract name of Unix sockets: as ports, each network namespace has its own, and it is gone when we are.
bool TakenPort::take(const std::string& protocol, std::uint16_t port, const std::string& address) {
  if (descriptor_ < 0) descriptor_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor_ < 0) return true;  // goes without
  sockaddr_un socket_name{};
  socket_name.sun_family = AF_UNIX;
  const bool elsewhere = !address.empty() && address != "127.0.0.1" && address != "0.0.0.0";
  const auto name = std::format("mirage run {} {}{}", protocol, port, elsewhere ? " " + address : "");
  name.copy(socket_name.sun_path + 1, sizeof socket_name.sun_path - 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return bind(descriptor_, reinterpret_cast<const sockaddr*>(&socket_name), size) == 0 || errno != EADDRINUSE;
}

Forward parse_forward(const std::string& text) {
  Forward forward;
  std::string rest = text;
  if (const auto slash = rest.find('/'); slash != std::string::npos) {
    forward.protocol = rest.substr(slash + 1);
    rest.erase(slash);
  }
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= rest.size();) {
    const auto end = std::min(rest.find(':', begin), rest.size());
    parts.push_back(rest.substr(begin, end - begin));
    begin = end + 1;
  }
  if (parts.size() == 3) {
    forward.address = parts.front();
    parts.erase(parts.begin());
  }
  Ipv4Address address;
  const bool known = forward.protocol == "tcp" || forward.protocol == "udp";
  if (parts.size() != 2 || !known || !parse_value(forward.address, address)) (void)parse_port("", text);
  forward.host = parse_port(parts[0], text);
  forward.guest = parse_port(parts[1], text);
  return forward;
}

Launch make_launch(const plan::Plan& plan, const RunOptions& options, const std::string& image,
                   const std::string& binary) {
  return Launcher(plan, options, image, binary).make();
}

int guest_status(const plan::Runner& runner, const Ended& ended) {
  const int status = ended.status;
  if (!ended.is_exit) return status;
  // QEMU's debug-exit device ends it with (value << 1) | 1; the guest writes its status, with 127 for all above. It
  // does not write 0, but powers off: a status of 1 is an error of QEMU's own.
  if (runner.status == "isa-debug-exit" && status == 1) return 1;
  // It ends well, too, when it is told to end, which is no end of the guest's.
  if (runner.status == "isa-debug-exit" && status == 0 && ended.signal != 0) return 128 + ended.signal;
  if (runner.status == "isa-debug-exit" && (status & 1) != 0) return status >> 1 == 127 ? 255 : status >> 1;
  return status;
}

}  // namespace mirage::cli
