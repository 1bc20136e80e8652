// SPDX-License-Identifier: ISC
// The devices of target unix on what the host has for everybody: pairs of sockets, temporary files, and taps in a
// network namespace that the test makes for itself.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/net.hpp>
#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/net.hpp>
#include <mirage/target/unix/tap.hpp>
#include <test/network/first_answer.hpp>
#include <test/sandbox/forbid.hpp>

using namespace mirage;
using namespace mirage::target;

namespace {

std::string broken_rule(std::optional<std::string_view> outcome) { return std::string{outcome.value_or("no memory")}; }

/// Options of a command line, as a program gets them.
class Arguments {
 public:
  explicit Arguments(std::vector<std::string> words) : words_(std::move(words)) {
    for (std::string& word : words_) pointers_.push_back(word.data());
    pointers_.push_back(nullptr);
  }
  std::vector<std::string> take() {
    int count = static_cast<int>(words_.size());
    posix::Environment::take_attachments(count, pointers_.data());
    return {pointers_.begin(), pointers_.begin() + count};
  }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

void attach(const std::string& option) { (void)Arguments{{"test", option}}.take(); }

/// The error of starting a module, or "".
template <class T>
std::string start(Shard& shard, T& module) {
  const auto started = run(shard, module.start());
  REQUIRE(started);
  return *started ? std::string{} : std::string{started->error().text()};
}

class Flag final : public posix::Watch {
 public:
  void on_ready(std::uint32_t events) noexcept override { events_ |= events; }
  std::uint32_t events_ = 0;
};

}  // namespace

TEST_CASE("unix attachments: options become variables, the rest stays") {
  Arguments arguments{
      {"hello", "--net:alpha=tap100", "--port=80", "--block:beta=disk.img", "--net-mac:alpha=x", "--net:"}};
  CHECK(arguments.take() == std::vector<std::string>{"hello", "--port=80", "--net:"});
  CHECK(posix::find_attachment(posix::Attachment::net, "alpha") == std::string{"tap100"});
  CHECK(posix::find_attachment(posix::Attachment::net_mac, "alpha") == std::string{"x"});
  CHECK(posix::find_attachment(posix::Attachment::block, "beta") == std::string{"disk.img"});
  CHECK(posix::find_attachment(posix::Attachment::block, "alpha") == nullptr);
  CHECK(std::getenv("MIRAGE_BLOCK_beta") == std::string{"disk.img"});
}

TEST_CASE("unix attachments: devices that the image does not declare are refused") {
  struct Lines final : LogSink {
    void write_line(std::string_view line) noexcept override { text += std::string(line) + "\n"; }
    std::string text;
  } lines;
  const auto take = [&](std::string word, const std::vector<std::string_view>& devices) {
    std::string program = "test";
    std::array<char*, 3> words{program.data(), word.data(), nullptr};
    int count = 2;
    lines.text.clear();
    return posix::take_attachments(count, words.data(), devices, lines);
  };
  CHECK_FALSE(take("--block:typo=x", {"net:service", "block:storage"}));
  CHECK(lines.text ==
        "error: the image declares no block device 'typo'; it declares network 'service', block device "
        "'storage'\n");
  CHECK_FALSE(take("--net-mac:storage=x", {"block:storage"}));
  CHECK_FALSE(take("--net:x=y", {}));
  CHECK(lines.text == "error: the image declares no network 'x'; it declares no device\n");
  const std::string longest(67, 'x');
  CHECK(take("--block-sector-size:" + longest + "=4096", {"block:" + longest}));
  CHECK(posix::find_attachment(posix::Attachment::block_sector_size, longest) == std::string{"4096"});
}

TEST_CASE("unix environment: clocks, entropy, deadlines, events") {
  posix::Environment environment;
  const Time before = environment.monotonic();
  environment.wait(before + 2ms);
  const Duration waited = environment.monotonic() - before;
  CHECK(waited >= 2ms);
  CHECK(waited < 1s);
  std::array<std::byte, 64> random{};
  CHECK(environment.entropy(random));
  CHECK(random != std::array<std::byte, 64>{});
  CHECK(environment.wall().time_since_epoch() > 24h * 365 * 50);

  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  Flag flag;
  REQUIRE(environment.watch(pipe[0], EPOLLIN, &flag));
  CHECK_FALSE(environment.dispatch());
  REQUIRE(::write(pipe[1], "x", 1) == 1);
  environment.wait(never);
  CHECK(flag.events_ == EPOLLIN);
  CHECK(environment.dispatch());
  environment.end_watch(pipe[0], flag);
  CHECK_FALSE(environment.dispatch());
  ::close(pipe[0]);
  ::close(pipe[1]);
}

namespace {

/// Waits for a deadline and for an event; 0: it waited for both.
int wait_without(unsigned error) {
  test::forbid(SYS_epoll_pwait2, error);
  posix::Environment environment;
  const Time before = environment.monotonic();
  environment.wait(before + 20ms + 1us);
  if (environment.monotonic() - before < 20ms + 1us) return 1;
  int pipe[2];
  Flag flag;
  if (::pipe(pipe) != 0 || !environment.watch(pipe[0], EPOLLIN, &flag) || ::write(pipe[1], "x", 1) != 1) return 2;
  environment.wait(never);
  return flag.events_ == EPOLLIN ? 0 : 3;
}

}  // namespace

TEST_CASE("unix environment: kernels and sandboxes that have no epoll_pwait2") {
  for (const unsigned error : {unsigned{ENOSYS}, unsigned{EPERM}}) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(wait_without(error));
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
}

TEST_CASE("unix net: two devices at the ends of a pair of sockets") {
  for (const int type : {SOCK_SEQPACKET, SOCK_DGRAM}) {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0);
    posix::Environment environment;
    Shard shard{environment};
    attach("--net:left=@" + std::to_string(pair[0]));
    attach("--net:right=@" + std::to_string(pair[1]));
    attach("--net-mac:left=02:00:00:00:00:01");
    posix::Net left{shard, "left"};
    posix::Net right{shard, "right"};
    REQUIRE(start(shard, left) == "");
    REQUIRE(start(shard, right) == "");
    CHECK(left.capabilities().mac == MacAddress{{2, 0, 0, 0, 0, 1}});
    CHECK((right.capabilities().mac.octets[0] & 3) == 2);
    CHECK(broken_rule(run(shard, check::check_net(shard, left, right))) == "");
  }
}

TEST_CASE("unix net: errors") {
  posix::Environment environment;
  Shard shard{environment};
  posix::Net missing{shard, "nowhere"};
  CHECK(start(shard, missing) == "network 'nowhere' is not attached: add --net:nowhere=IFACE or --net:nowhere=@FD");
  attach("--net:absent=mirage-absent");
  posix::Net absent{shard, "absent"};
  CHECK(start(shard, absent).find("there is no interface 'mirage-absent'") != std::string::npos);
  int stream[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) == 0);
  attach("--net:stream=@" + std::to_string(stream[0]));
  posix::Net bad{shard, "stream"};
  CHECK(start(shard, bad).find("does not keep frames apart") != std::string::npos);
  ::close(stream[0]);
  ::close(stream[1]);
}

TEST_CASE("unix net: standard input and output are no networks, and stay as they are") {
  posix::Environment environment;
  Shard shard{environment};
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int before = ::fcntl(standard, F_GETFL);
    attach("--net:standard=@" + std::to_string(standard));
    posix::Net net{shard, "standard"};
    CHECK(start(shard, net).find("must be above 2") != std::string::npos);
    CHECK(::fcntl(standard, F_GETFL) == before);
    ::fcntl(standard, F_SETFL, before);
  }
}

TEST_CASE("unix net: the process ends when the other end is gone") {
  const pid_t child = ::fork();
  if (child == 0) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) ::_exit(90);
    posix::Environment environment;
    Shard shard{environment};
    shard.log().set_default(LogLevel::quiet);
    attach("--net:left=@" + std::to_string(pair[0]));
    posix::Net left{shard, "left"};
    if (!run(shard, left.start()).value()) ::_exit(91);
    ::close(pair[1]);
    std::array<ReceivedFrame, 4> frames;
    (void)left.poll(frames);
    ::_exit(92);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 1));
}

namespace {

/// Makes a tap in a new network namespace, attaches, and sees the frames that the host sends when it comes up.
int tap_in_namespace() {
  if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return 77;
  const int maker = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "mirage0");
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (maker < 0 || ::ioctl(maker, TUNSETIFF, &request) != 0) return 77;
  if (::ioctl(maker, TUNSETPERSIST, 1) != 0) return 2;
  ::close(maker);
  const auto down = posix::open_frames("mirage0");
  if (down || !std::string_view{down.error().text()}.contains("is down")) return 8;
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  request.ifr_flags = IFF_UP;
  if (::ioctl(control, SIOCSIFFLAGS, &request) != 0) return 3;

  posix::Environment environment;
  Shard shard{environment};
  shard.log().set_default(LogLevel::quiet);
  attach("--net:tap=mirage0");
  posix::Net net{shard, "tap"};
  if (!run(shard, net.start()).value()) return 4;
  const NetCapabilities& capabilities = net.capabilities();
  if (!capabilities.segment_tcp4 || !capabilities.transmit_checksum || capabilities.mtu != 1500) return 5;
  TransmitFrame frame;
  frame.header = shard.buffers().allocate(64, header_headroom);
  for (std::byte& byte : frame.header.grow_back(64)) byte = std::byte{0xff};
  if (net.send({&frame, 1}) != 1 || net.statistics().sent != 1) return 6;
  // The kernel sends neighbour discovery and the like of its own accord; if IPv6 is off, nothing comes.
  std::array<ReceivedFrame, 8> frames;
  environment.wait(environment.monotonic() + 2s);
  const std::size_t count = net.poll(frames);
  for (std::size_t i = 0; i < count; ++i) {
    if (frames[i].data.byte_count() < ethernet_header_size) return 7;
  }
  return 0;
}

}  // namespace

TEST_CASE("unix net: a tap with offloads") {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(tap_in_namespace());
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    MESSAGE("not run: no tap can be made in a network namespace here");
  } else {
    CHECK(WEXITSTATUS(status) == 0);
  }
}

TEST_CASE("unix net: a tap that was just opened gets what the host sends") {
  const int unanswered = test::unanswered_first_questions([](const char* name) {
    const auto frames = posix::open_frames(name);
    return frames && frames->vnet_header ? frames->descriptor : -1;
  });
  if (unanswered == test::cannot_run) {
    MESSAGE("not run: needs Linux 6.8 and a tap in a network namespace");
  } else {
    CHECK(unanswered == 0);
  }
}
