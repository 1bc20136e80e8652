// SPDX-License-Identifier: ISC
// The machine under test of the conformance traces: our stack and an application that does what it is told, line by
// line on standard input (see machine.py for the other end). `station virtual` is a stack on a device made of two
// lists, in virtual time; `station tap --net:service=TAP` is the target unix on a tap.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <print>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <mirage/device/offload/offload.hpp>
#include <mirage/net/testbed_test.hpp>
#include <mirage/target/unix/environment.hpp>
#include <mirage/target/unix/net.hpp>

namespace {

using namespace mirage;
using net::tcp::Flow;
using Words = std::vector<std::string_view>;

Words split(std::string_view line) {
  Words words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

std::uint64_t number(std::string_view word) { return std::strtoull(std::string(word).c_str(), nullptr, 10); }

/// What both sides send: each byte depends on its place in the stream alone (packet.py has the same).
std::byte pattern(std::uint64_t place) { return static_cast<std::byte>(place * 31 + (place >> 8) * 17 + 3); }
net::test::Packet pattern_bytes(std::uint64_t place, std::size_t count) {
  net::test::Packet bytes(count);
  for (std::byte& byte : bytes) byte = pattern(place++);
  return bytes;
}

std::string_view name_of(FlowError error) {
  switch (error) {
    case FlowError::reset:
      return "reset";
    case FlowError::timed_out:
      return "timed out";
    case FlowError::unreachable:
      return "unreachable";
    case FlowError::refused:
      return "refused";
    case FlowError::closed:
      return "closed";
    default:
      return to_string(error);
  }
}

void event(std::string_view name, std::string_view call, std::string_view text) {
  std::print("event {} {} {}\n", name, call, text);
}

/// A connection of the trace.
struct Talk {
  std::string name;
  std::unique_ptr<Flow> flow;
  net::test::Packet received;  ///< read from the flow and not yet asked for
  std::uint64_t read = 0;
  std::uint64_t written = 0;
};

class Datagrams final : public DatagramHandler {
 public:
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    for (const Datagram& datagram : datagrams) {
      std::size_t count = 0;
      bool good = true;
      for (const Slice& slice : datagram.payload) {
        for (const std::byte byte : slice.bytes()) good &= byte == pattern(count++);
      }
      event("a", "datagram", std::format("datagram {} from {}{}", count, datagram.remote.port, good ? "" : " wrong"));
    }
  }
};

/// The application.
class Application {
 public:
  Application(Shard& shard, net::Stack& stack) : shard_(shard), stack_(stack), scope_(shard) {}
  /// Does what a line says; false when nobody knows such a call.
  bool perform(const Words& words);
  void start() { spawn(start_stack(shard_, *this)); }
  bool started = false;

 private:
  struct Call {
    std::string_view name;
    void (Application::*run)(Talk&, const Words&);
    bool wants_flow;
  };
  Talk& talk(std::string_view name) {
    auto& found = talks_[std::string(name)];
    if (!found) found = std::make_unique<Talk>(Talk{.name = std::string(name), .flow = {}, .received = {}});
    return *found;
  }
  void spawn(Task<void> task) {
    if (!scope_.spawn(std::move(task))) std::abort();
  }

  static Task<void> start_stack(Shard&, Application& self) {
    const auto result = co_await self.stack_.start();
    if (!result) std::abort();
    self.started = true;
    event("-", "started", "started");
  }
  static Task<void> accept_one(Shard&, net::tcp::Listener& listener, Talk& talk) {
    auto flow = co_await listener.accept();
    if (flow) talk.flow = std::make_unique<Flow>(*std::move(flow));
    event(talk.name, "accept", flow ? "accepted" : std::format("error {}", name_of(flow.error())));
  }
  static Task<void> connect_one(Shard&, net::Stack& stack, Talk& talk, Endpoint remote, std::size_t early) {
    const auto bytes = pattern_bytes(0, early);
    talk.written = early;
    auto flow = co_await stack.tcp().connect(remote, Bytes(bytes));
    if (flow) talk.flow = std::make_unique<Flow>(*std::move(flow));
    const std::string outcome = flow ? "connected" : std::format("failed {}", name_of(flow.error()));
    event(talk.name, "connected", outcome);
    event(talk.name, "fails", outcome);
  }
  static Task<void> write_some(Shard&, Talk& talk, std::size_t count) {
    const auto bytes = pattern_bytes(talk.written, count);
    talk.written += count;
    const auto written = co_await talk.flow->write(Bytes(bytes));
    event(talk.name, "written", written ? "written" : std::format("error {}", name_of(written.error())));
  }
  static Task<void> read_some(Shard&, Talk& talk, std::size_t count);

  void listen(Talk&, const Words& words) {
    const auto port = static_cast<Port>(words.size() > 2 ? number(words[2]) : 80);
    const auto backlog = static_cast<std::uint16_t>(words.size() > 3 ? number(words[3]) : 16);
    auto made = stack_.tcp().listen(port, {.backlog = backlog});
    if (!made) std::abort();
    listeners_.insert_or_assign(port, std::make_unique<net::tcp::Listener>(*std::move(made)));
  }
  void unlisten(Talk&, const Words& words) {
    listeners_.erase(static_cast<Port>(words.size() > 2 ? number(words[2]) : 80));
  }
  void accept(Talk& talk, const Words& words) {
    const auto found = listeners_.find(static_cast<Port>(words.size() > 2 ? number(words[2]) : 80));
    if (found == listeners_.end()) std::abort();
    spawn(accept_one(shard_, *found->second, talk));
  }
  void connect(Talk& talk, const Words& words) {
    const auto address = IpAddress::parse(words.at(2));
    if (!address) std::abort();
    const std::size_t early = words.size() > 4 ? number(words[4]) : 0;
    spawn(connect_one(shard_, stack_, talk, {.address = *address, .port = static_cast<Port>(number(words.at(3)))},
                      early));
  }
  void write(Talk& talk, const Words& words) { spawn(write_some(shard_, talk, number(words.at(2)))); }
  void read(Talk& talk, const Words& words) {
    spawn(read_some(shard_, talk, std::max<std::size_t>(number(words.at(2)), 1)));
  }
  void shutdown(Talk& talk, const Words&) { talk.flow->shutdown(); }
  void close(Talk& talk, const Words&) { talk.flow.reset(); }
  void abort(Talk& talk, const Words&) {
    talk.flow->abort();
    talk.flow.reset();
  }
  void no_delay(Talk& talk, const Words&) { talk.flow->set_no_delay(true); }
  void keep_alive(Talk& talk, const Words& words) {
    talk.flow->set_keep_alive(1s * static_cast<std::int64_t>(number(words.at(2))));
  }
  void urgent(Talk&, const Words&) {}  // always in line: RFC 6093
  void bind(Talk&, const Words& words) {
    if (!stack_.udp().bind(static_cast<Port>(number(words.at(2))), datagrams_)) std::abort();
  }
  void send_to(Talk& talk, const Words& words);

  static constexpr Call calls[] = {
      {"listen", &Application::listen, false},
      {"unlisten", &Application::unlisten, false},
      {"accept", &Application::accept, false},
      {"connect", &Application::connect, false},
      {"write", &Application::write, true},
      {"read", &Application::read, true},
      {"shutdown", &Application::shutdown, true},
      {"close", &Application::close, true},
      {"abort", &Application::abort, true},
      {"no-delay", &Application::no_delay, true},
      {"keep-alive", &Application::keep_alive, true},
      {"urgent", &Application::urgent, false},
      {"bind", &Application::bind, false},
      {"sendto", &Application::send_to, false},
  };

  Shard& shard_;
  net::Stack& stack_;
  Scope scope_;
  Datagrams datagrams_;
  std::map<Port, std::unique_ptr<net::tcp::Listener>> listeners_;
  std::map<std::string, std::unique_ptr<Talk>, std::less<>> talks_;
};

Task<void> Application::read_some(Shard&, Talk& talk, std::size_t count) {
  std::string outcome;
  while (talk.received.size() < count) {
    auto slices = co_await talk.flow->read();
    if (!slices) {
      outcome = std::format("error {}", name_of(slices.error()));
    } else if (slices->empty()) {
      outcome = talk.received.empty() ? "end" : std::format("end after {}", talk.received.size());
    } else {
      for (const Slice& slice : *slices)
        talk.received.insert(talk.received.end(), slice.bytes().begin(), slice.bytes().end());
      continue;
    }
    event(talk.name, "read", outcome);
    co_return;
  }
  const bool good = std::ranges::equal(pattern_bytes(talk.read, count), std::span(talk.received).first(count));
  talk.read += count;
  talk.received.erase(talk.received.begin(), talk.received.begin() + static_cast<std::ptrdiff_t>(count));
  event(talk.name, "read", good ? std::format("read {}", count) : "read wrong bytes");
}

void Application::send_to(Talk& talk, const Words& words) {
  const auto address = IpAddress::parse(words.at(3));
  if (!address) std::abort();
  Datagram datagram{.local = {.address = {}, .port = static_cast<Port>(number(words.at(2)))},
                    .remote = {.address = *address, .port = static_cast<Port>(number(words.at(4)))},
                    .payload = {}};
  const auto bytes = pattern_bytes(0, number(words.at(5)));
  for (Bytes rest = bytes; !rest.empty();) {
    const Bytes part = rest.first(std::min<std::size_t>(rest.size(), frame_capacity));
    (void)datagram.payload.push_back(shard_.buffers().copy(part));
    rest = rest.subspan(part.size());
  }
  if (stack_.udp().send({&datagram, 1}) != 1) event(talk.name, "sendto", to_string(stack_.udp().last_error()));
}

bool Application::perform(const Words& words) {
  for (const Call& call : calls) {
    if (words.size() < 2 || call.name != words[0]) continue;
    Talk& own = talk(words[1]);
    if (call.wants_flow && own.flow == nullptr) {
      event(own.name, call.name, "error there is no connection");
    } else {
      (this->*call.run)(own, words);
    }
    return true;
  }
  return false;
}

net::test::Packet bytes_of_hex(std::string_view text) {
  net::test::Packet bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::strtoul(std::string(text.substr(i, 2)).c_str(), nullptr, 16)));
  }
  return bytes;
}

net::StackOptions options_of(int count, char** arguments) {
  net::StackOptions options;
  options.gateway = Ipv4Address::of(10, 0, 0, 1);
  for (const std::string_view argument : std::span(arguments, static_cast<std::size_t>(count)).subspan(2)) {
    const auto value = argument.find('=');
    if (value == std::string_view::npos) continue;
    const auto given = static_cast<std::uint32_t>(number(argument.substr(value + 1)));
    if (argument.starts_with("--window=")) options.tcp.receive_window = given;
    if (argument == "--fast-open=yes") options.tcp.fast_open = true;
    if (argument.starts_with("--connections=")) options.tcp.maximum_connections = given;
    if (argument == "--family=6") {
      options.ipv4_enabled = false;
      options.ipv6 = {.enabled = true,
                      .accept_router_advertisements = false,
                      .address = {*IpAddress::parse("fd00::2"), 64},
                      .gateway = *IpAddress::parse("fd00::1")};
    }
  }
  return options;
}

std::uint16_t mtu_of(int count, char** arguments) {
  for (const std::string_view argument : std::span(arguments, static_cast<std::size_t>(count)).subspan(2)) {
    if (argument.starts_with("--mtu=")) return static_cast<std::uint16_t>(number(argument.substr(6)));
  }
  return 1500;
}

[[noreturn]] void unknown(std::string_view line) {
  std::print(stderr, "station: what is '{}'?\n", line);
  std::exit(2);
}

/// Commands: frame HEX, run NANOSECONDS, or a call of the application; each is answered by what it led to and `done
/// TIME`.
[[noreturn]] void run_virtual(const net::StackOptions& options, std::uint16_t mtu) {
  net::test::Testbed bed{options};
  bed.net.capabilities_.mtu = mtu;
  Application application{bed.shard, bed.stack};
  const auto now = [&] { return bed.environment.now.time_since_epoch().count(); };
  const auto settle = [&] {
    for (int idle = 0; idle < 2;) idle = bed.shard.turn() ? 0 : idle + 1;
  };
  const auto report = [&] {
    bool any = false;
    for (; !bed.net.sent.empty(); any = true) {
      std::print("frame {} ", now());
      for (const std::byte byte : bed.take().bytes) std::print("{:02x}", std::to_integer<unsigned>(byte));
      std::print("\n");
    }
    return any;
  };
  application.start();
  bed.run(10s);  // with IPv6 it asks whether somebody has its address, and for routers
  bed.net.sent.clear();
  std::print("done {}\n", now());
  std::fflush(stdout);
  char* line = nullptr;
  std::size_t room = 0;
  for (ssize_t length = 0; (length = ::getline(&line, &room, stdin)) > 0;) {
    const std::string_view text(line, static_cast<std::size_t>(length) - 1);
    const Words words = split(text);
    if (words.at(0) == "frame") {
      bed.net.arrive(bytes_of_hex(words.at(1)));
    } else if (words[0] == "run") {
      const Time end = bed.environment.now + Duration{static_cast<std::int64_t>(number(words.at(1)))};
      bed.environment.now = std::min(end, std::max(bed.environment.now, bed.shard.next_deadline()));
    } else if (!application.perform(words)) {
      unknown(text);
    }
    settle();
    report();
    std::print("done {}\n", now());
    std::fflush(stdout);
  }
  std::_Exit(0);  // flows of an unfinished trace need no orderly end
}

/// The same calls; frames come over the tap, so each call is answered with how many were performed: what the tester
/// sends next must not overtake it. Ends with its standard input.
int run_on_tap(const net::StackOptions& options) {
  target::posix::Environment environment;
  Shard shard{environment};
  if (!shard.seed_random()) return 1;
  target::posix::Net device{shard, "service"};
  if (!run(shard, device.start())) return 1;
  device::Offload offload{shard, device};
  offload.adopt_capabilities();
  net::Stack stack{shard, NetPort{offload}, options};
  Application application{shard, stack};
  application.start();
  (void)::fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  if (!environment.watch(STDIN_FILENO, EPOLLIN, nullptr)) return 1;
  std::string pending;
  std::size_t performed = 0;
  while (true) {
    char part[4096];
    const auto count = ::read(STDIN_FILENO, part, sizeof part);
    if (count == 0) break;
    if (count > 0) pending.append(part, static_cast<std::size_t>(count));
    for (std::size_t end = 0; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      const std::string text = pending.substr(0, end);
      if (!application.perform(split(text))) unknown(text);
      (void)shard.turn();  // before the next call: it may end the flow that this one uses
      event("-", "performed", std::to_string(++performed));
    }
    const bool busy = shard.turn();
    std::fflush(stdout);
    if (!busy) environment.wait(shard.next_deadline());
  }
  std::fflush(stdout);
  std::_Exit(0);  // flows of an unfinished trace need no orderly end
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view mode = count > 1 ? arguments[1] : "";
  const net::StackOptions options = count > 1 ? options_of(count, arguments) : net::StackOptions{};
  if (mode == "virtual") run_virtual(options, mtu_of(count, arguments));
  target::posix::Environment::take_attachments(count, arguments);
  if (mode == "tap") return run_on_tap(options);
  std::print(
      stderr,
      "usage: station virtual|tap --net:service=TAP [--window=BYTES] [--connections=N] [--mtu=N] [--family=6]\n");
  return 2;
}
