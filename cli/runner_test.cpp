// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

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
  auto plan = plan_with(on, {{"net", "service"}});
  plan::PlannedKey port;
  port.key.name = "port";
  port.key.type = "u16";
  port.value = "80";
  plan.keys.push_back(port);
  RunOptions options;
  options.dry_run = true;
  CHECK(make_launch(plan, options, "i", "").forwards.front().guest == 80);
  CHECK(make_launch(plan, options, "i", "").forwards.front().host >= 8080);
  options.arguments = {"--port=8443"};
  CHECK(make_launch(plan, options, "i", "").forwards.front().guest == 8443);
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
  CHECK(guest_status(runner, 3) == 3);
  runner.status = "isa-debug-exit";
  CHECK(guest_status(runner, 0) == 0);
  CHECK(guest_status(runner, 1) == 1);  // QEMU could not start: a guest that ends well powers off
  CHECK(guest_status(runner, 2 * 64 + 1) == 64);
  CHECK(guest_status(runner, 255) == 255);
}

}  // namespace
}  // namespace mirage::cli
