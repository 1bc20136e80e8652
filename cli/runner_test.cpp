// SPDX-License-Identifier: ISC
#include <csignal>
#include <filesystem>
#include <format>
#include <fstream>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cli/runner.hpp>
#include <config/error.hpp>

namespace mirage::cli {
namespace {

plan::Target target() {
  plan::Target out;
  out.name = "test";
  out.run.program = "/bin/true";
  out.run.arguments = {"--mem={memory}", "{devices}", "{image}", "{quoted_arguments}"};
  out.run.interface = {"--net:{name}={interface}"};
  out.run.user = {"-netdev", "user,id={name}{forwards}"};
  out.run.forward = ",hostfwd={protocol}:{host}:{host_port}-:{guest_port}";
  out.run.block = {"--block:{name}={file}"};
  return out;
}

plan::Plan plan_with(const plan::Target& of, std::initializer_list<std::pair<const char*, const char*>> devices) {
  plan::Plan out;
  out.name = "x";
  out.target = &of;
  for (const auto& [type, name] : devices) {
    plan::Instance instance;
    instance.device = type;
    instance.device_name = name;
    out.instances.push_back(instance);
  }
  return out;
}

/// With a network and a key "port".
plan::Plan plan_with_port(const plan::Target& of) {
  auto plan = plan_with(of, {{"net", "service"}});
  plan::PlannedKey port;
  port.key.name = "port";
  port.key.type = "u16";
  port.value = "80";
  plan.keys.push_back(port);
  return plan;
}

TEST_CASE("port forwardings") {
  CHECK(parse_forward("8080:80").host == 8080);
  CHECK(parse_forward("8080:80").address == "127.0.0.1");
  CHECK(parse_forward("0.0.0.0:53:5353/udp").protocol == "udp");
  for (const char* bad : {"", "80", "a:b", "0:80", "80:65536", "1.2.3:1:2", "1:2:3:4", "1:2/sctp", "1:2/", ":80"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS((void)parse_forward(bad), plan::UsageError);
  }
}

TEST_CASE("words of the command") {
  const auto on = target();
  const auto plan = plan_with(on, {{"net", "service"}, {"block", "disk"}});
  RunOptions options;
  options.blocks = {"disk=/dev/null"};
  options.forwards = {"8080:80", "9:9/udp"};
  options.arguments = {"--hello=a b"};
  options.dry_run = true;
  const auto launch = make_launch(plan, options, "image", "/nowhere");
  CHECK(plan::shell_line(launch.command) ==
        "/bin/true --mem=32 -netdev user,id=service,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:9-:9 "
        "--block:disk=/dev/null image ''\\''--hello=a b'\\'''");
  CHECK(launch.helper.empty());
}

TEST_CASE("a disk's file may have any name") {
  auto on = target();
  on.run.block = {"file={listed_file},id={name}", "{file}", "{other}{"};
  const auto plan = plan_with(on, {{"block", "disk"}});
  const std::string folder = "runner_test_disks";
  std::filesystem::create_directory(folder);
  RunOptions options;
  options.dry_run = true;
  const auto words = [&](const std::string& file) {
    std::ofstream{file};
    options.blocks = {"disk=" + file};
    auto command = make_launch(plan, options, "i", "").command;
    std::filesystem::remove(file);
    return plan::Words{command.begin() + 2, command.begin() + 5};
  };
  CHECK(words(folder + "/a,b,,c") ==
        plan::Words{"file=" + folder + "/a,,b,,,,c,id=disk", folder + "/a,b,,c", "{other}{"});
  CHECK(words("a:b,c.img") == plan::Words{"file=./a:b,,c.img,id=disk", "a:b,c.img", "{other}{"});
  CHECK(words(folder + "/a:b")[0] == "file=" + folder + "/a:b,id=disk");
  CHECK(words(folder + "/{name}{file}")[0] == "file=" + folder + "/{name}{file},id=disk");
  std::filesystem::remove(folder);
}

TEST_CASE("an option that the target's command says nothing of is refused") {
  auto on = target();
  const auto plan = plan_with(on, {});
  RunOptions options;
  options.dry_run = true;
  options.memory = 64;
  CHECK(plan::shell_line(make_launch(plan, options, "i", "").command).contains("--mem=64"));
  options.accelerator = "tcg";
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""),
                    doctest::Contains("--accel means nothing to an image for"));
  options.accelerator.clear();
  on.run.arguments = {"{image}"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""),
                    doctest::Contains("--mem means nothing to an image for"));
}

TEST_CASE("devices must be there and known") {
  const auto on = target();
  const auto plan = plan_with(on, {{"net", "a"}, {"net", "b"}});
  RunOptions options;
  options.dry_run = true;
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""),
                    "only one network can be in user mode; 'b' needs an interface");
  options.nets = {"b=tap0"};
  CHECK(plan::shell_line(make_launch(plan, options, "i", "").command).ends_with("--net:b=tap0 i"));
  options.nets = {"c=tap0"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "the image has no net device 'c'");
  options.nets = {"b"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "bad value 'b' for --net");
  options.nets = {"b="};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "bad value 'b=' for --net");
  options.nets = {"b=tap0", "b=tap1"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "net device 'b' is given twice");
  options.nets = {"b=no-such-tap"};
  options.dry_run = false;
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "there is no interface 'no-such-tap'");
}

TEST_CASE("queues of an interface, where the target has them") {
  auto on = target();
  on.run.interface_queues = {"--net:{name}={interface}*{queues}"};
  const auto plan = plan_with(on, {{"net", "a"}});
  RunOptions options;
  options.dry_run = true;
  const auto with = [&](const char* net) {
    options.nets = {net};
    return plan::shell_line(make_launch(plan, options, "i", "").command);
  };
  CHECK_THROWS_WITH((void)with("a=tap0,queues=2"), "',queues=2' means nothing to an image for test");
  on.run.maximum_queues = 4;
  CHECK(with("a=tap0").ends_with("--net:a=tap0 i"));
  CHECK(with("a=tap0,queues=1").ends_with("--net:a=tap0 i"));
  CHECK(with("a=tap0,queues=4").ends_with("'--net:a=tap0*4' i"));
  for (const char* bad :
       {"a=tap0,queues=0", "a=tap0,queues=5", "a=tap0,queues=", "a=tap0,queues=x", "a=tap0,queues=-1",
        "a=tap0,queues=4294967298", "a=tap0,queues=2,queues=2", "a=tap0,vhost=on", "a=tap0,", "a=,queues=2"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS((void)with(bad), plan::UsageError);
  }
}

TEST_CASE("a forwarding that cannot be says why") {
  const auto on = target();
  const auto plan = plan_with(on, {{"net", "a"}});
  RunOptions options;
  options.forwards = {"8080:80", "8080:81"};
  options.dry_run = true;
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "port 8080 of the host is forwarded twice");
  options.forwards = {"8080:80", "8080:80/udp"};
  CHECK(make_launch(plan, options, "i", "").forwards.size() == 2);
  options.forwards = {"192.0.2.1:8080:80"};
  options.dry_run = false;
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "the host has no address 192.0.2.1");
}

TEST_CASE("a key called port is forwarded to where the guest will listen") {
  const auto on = target();
  const auto plan = plan_with_port(on);
  RunOptions options;
  options.dry_run = true;
  CHECK(make_launch(plan, options, "i", "").forwards.front().guest == 80);
  CHECK(make_launch(plan, options, "i", "").forwards.front().host >= 8080);
  options.arguments = {"--port=8443"};
  CHECK(make_launch(plan, options, "i", "").forwards.front().guest == 8443);
}

TEST_CASE("forwards that are chosen have a port of the host each") {
  const auto on = target();
  auto plan = plan_with(on, {{"net", "service"}});
  for (const auto& [name, value] : {std::pair{"port", "80"}, {"admin-port", "8080"}, {"more-port", "8080"}}) {
    plan::PlannedKey planned;
    planned.key.name = name;
    planned.key.type = "u16";
    planned.value = value;
    plan.keys.push_back(planned);
  }
  RunOptions options;
  options.dry_run = true;
  const auto forwards = make_launch(plan, options, "i", "").forwards;
  CHECK(forwards.size() == 2);  // what leads to a port of the guest once need not twice
  CHECK(forwards.front().guest == 80);
  REQUIRE(forwards[1].guest == 8080);
  CHECK(forwards[1].host > forwards[0].host);
  // Behind the last port come the first that anybody may have.
  plan.keys.resize(2);
  plan.keys[0].value = "65535";
  plan.keys[1].value = "64535";
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(65535);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  (void)bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  (void)listen(descriptor, 1);
  const auto last = make_launch(plan, options, "i", "").forwards;
  close(descriptor);
  CHECK(last[0].host >= 1024);
  CHECK(last[0].host < 65535);
}

TEST_CASE("a port is chosen by one at a time") {
  const std::string protocol = std::format("test {}", getpid());
  TakenPort first;
  TakenPort second;
  CHECK(first.take(protocol, 8080));
  CHECK(!second.take(protocol, 8080));
  CHECK(second.take(protocol, 8081));
  const TakenPort moved = std::move(first);
  CHECK(!TakenPort{}.take(protocol, 8080));
  first = TakenPort{};
  second = TakenPort{};
  CHECK(TakenPort{}.take(protocol, 8081));
}

TEST_CASE("a port that was chosen is not chosen again before somebody listens there") {
  const auto on = target();
  const auto plan = plan_with_port(on);
  const RunOptions options;
  const auto first = make_launch(plan, options, "i", "");
  CHECK(make_launch(plan, options, "i", "").forwards.front().host > first.forwards.front().host);
}

TEST_CASE("a port that was given is one run's where the program opens it later") {
  auto on = target();
  const auto plan = plan_with(on, {{"net", "a"}});
  RunOptions options;
  options.forwards = {"47113:80", "127.0.0.2:47114:80"};
  const auto first = make_launch(plan, options, "i", "");
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "port 47113 of the host is in use");
  options.forwards = {"0.0.0.0:47113:80"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "port 47113 of the host is in use");
  options.forwards = {"127.0.0.2:47113:80", "47114:80", "47113:80/udp"};
  CHECK(make_launch(plan, options, "i", "").forwards.size() == 3);
  options.forwards = {"127.0.0.2:47114:80"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), "port 47114 of the host is in use");
  options.dry_run = true;
  CHECK(make_launch(plan, options, "i", "").forwards.size() == 1);
}

TEST_CASE("the helper may move the forwards that were chosen, not those that were given") {
  auto on = target();
  on.run.helper = true;
  const auto plan = plan_with_port(on);
  const std::string folder = "runner_test_helper";
  std::filesystem::create_directory(folder);
  std::ofstream{folder + "/mirage-usernet"};
  std::filesystem::permissions(folder + "/mirage-usernet", std::filesystem::perms::owner_all);
  RunOptions options;
  options.dry_run = true;
  auto launch = make_launch(plan, options, "i", folder);
  CHECK(launch.helper.back() == std::format("--forward=tcp:127.0.0.1:{}+:80", launch.forwards.front().host));
  options.forwards = {"8080:80"};
  CHECK(make_launch(plan, options, "i", folder).helper.back() == "--forward=tcp:127.0.0.1:8080:80");
  std::filesystem::remove_all(folder);
}

TEST_CASE("where to connect is known when the helper is ready, and never when it is not") {
  Launch launch;
  launch.forwards.resize(2);
  launch.command = {"/bin/sh", "-c", "exit 4"};
  launch.helper = {"/bin/sh", "-c", "sleep 0.1; echo 4711 1234 >&4"};
  std::vector<int> ports;
  const auto note = [&] {
    for (const auto& forward : launch.forwards) ports.push_back(forward.host);
  };
  CHECK(supervise(launch, note).status == 4);
  CHECK(ports == std::vector{4711, 1234});
  launch.helper = {"/bin/sh", "-c", "exit 1"};
  CHECK_THROWS_WITH((void)supervise(launch, note), "the user-mode network did not start");
  CHECK(ports.size() == 2);
}

TEST_CASE("flags that leave nothing together are refused before the image starts") {
  const auto on = target();
  auto plan = plan_with(on, {});
  const auto add = [&](const char* name, const char* type, const char* excludes, const char* value) {
    plan::PlannedKey planned;
    planned.key.name = name;
    planned.key.type = type;
    planned.key.excludes = excludes;
    planned.value = value;
    plan.keys.push_back(planned);
  };
  add("name", "string", "", "x");
  add("front-ipv4-only", "bool", "front-ipv6-only", "false");
  add("front-ipv6-only", "bool", "", "false");
  RunOptions options;
  options.dry_run = true;
  constexpr const char* refusal = "--front-ipv4-only and --front-ipv6-only leave nothing";
  options.arguments = {"--front-ipv4-only", "--front-ipv6-only"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), refusal);
  options.arguments = {"--front-ipv6-only=true", "--front-ipv4-only"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), refusal);
  options.arguments = {"--front-ipv4-only", "--front-ipv6-only", "--front-ipv4-only=false"};
  CHECK(!make_launch(plan, options, "i", "").command.empty());
  options.arguments = {"--front-ipv4-only", "--name", "--front-ipv6-only"};
  CHECK(!make_launch(plan, options, "i", "").command.empty());
  plan.keys[2].value = "true";
  options.arguments = {"--front-ipv4-only"};
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""), refusal);
}

TEST_CASE("a command line that would not arrive whole is refused with its length and the limit") {
  auto on = target();
  on.run.arguments = {"{image}", "{command_line}"};
  on.run.longest_command_line = 19;
  const auto plan = plan_with(on, {});
  RunOptions options;
  options.dry_run = true;
  options.arguments = {"--name=123456", "--b=2"};  // with the space between
  CHECK(plan::shell_line(make_launch(plan, options, "i", "").command).ends_with("'--name=123456 --b=2'"));
  options.arguments.back() += "3";
  CHECK_THROWS_WITH((void)make_launch(plan, options, "i", ""),
                    "the command line of the image has 20 bytes, and /bin/true passes 19");
  on.run.longest_command_line = 0;
  CHECK(!make_launch(plan, options, "i", "").command.empty());
}

TEST_CASE("exit status") {
  plan::Runner runner;
  runner.status = "exit";
  CHECK(guest_status(runner, {.status = 3}) == 3);
  runner.status = "isa-debug-exit";
  CHECK(guest_status(runner, {.status = 0}) == 0);
  CHECK(guest_status(runner, {.status = 1}) == 1);  // QEMU could not start: a guest that ends well powers off
  CHECK(guest_status(runner, {.status = 2 * 64 + 1}) == 64);
  CHECK(guest_status(runner, {.status = 255}) == 255);
  CHECK(guest_status(runner, {.status = 2 * 63 + 1}) == 63);
  CHECK(guest_status(runner, {.status = 2 * 63 + 1, .signal = SIGINT}) == 63);
}

TEST_CASE("QEMU ends well when it is told to end: that is no end of the guest's") {
  Launch launch;
  launch.command = {"/bin/sh", "-c", "trap 'exit 0' TERM; kill -TERM $PPID; while :; do sleep 0.01; done"};
  const Ended ended = supervise(launch);
  plan::Runner runner;
  runner.status = "isa-debug-exit";
  CHECK(guest_status(runner, ended) == 128 + SIGTERM);
  runner.status = "exit";
  CHECK(guest_status(runner, ended) == 0);
}

TEST_CASE("a status that is not the program's own is not the guest's") {
  plan::Runner runner;
  const auto status = [&](plan::Words command) {
    Launch launch;
    launch.command = std::move(command);
    const Ended ended = supervise(launch);
    for (const char* mapped : {"exit", "isa-debug-exit"}) {
      runner.status = mapped;
      if (guest_status(runner, ended) != ended.status) return -1;
    }
    return ended.status;
  };
  CHECK(status({"/bin/sh", "-c", "exit 4"}) == 4);
  CHECK(status({"/bin/sh", "-c", "kill -KILL $$"}) == 137);
  CHECK(status({"/bin/sh", "-c", "kill -SEGV $$"}) == 139);
  CHECK(status({"/nowhere/program"}) == 127);
  CHECK(status({"/bin/sh", "-c", "exit 127"}) == -1);
}

}  // namespace
}  // namespace mirage::cli
