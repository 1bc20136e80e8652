// SPDX-License-Identifier: ISC
// Plans of configurations that are written down as the DSL prints them, against the descriptors of the source tree.
#include <filesystem>
#include <format>
#include <fstream>

#include <doctest/doctest.h>
#include <unistd.h>

#include <config/catalogue.hpp>
#include <config/error.hpp>
#include <config/generate/description.hpp>
#include <config/generate/source.hpp>
#include <config/plan.hpp>
#include <mirage/config.hpp>

namespace mirage::plan {
namespace {

namespace dsl = mirage::config;

const Catalogue& catalogue() {
  static const Catalogue read{MIRAGE_SOURCE_ROOT};
  return read;
}

Graph graph_of(const dsl::Unikernel& unikernel) { return read_graph(dsl::detail::Emitter().print(unikernel)); }

Plan plan_of(const dsl::Unikernel& unikernel, const char* target = "spt", const Settings& settings = {}) {
  static std::vector<Graph> graphs;  // a plan refers to nothing of its graph, but keep failures readable
  graphs.push_back(graph_of(unikernel));
  return make_plan(graphs.back(), catalogue(), catalogue().target(target), settings);
}

std::string error_of(const dsl::Unikernel& unikernel, const char* target = "spt", const Settings& settings = {}) {
  try {
    (void)plan_of(unikernel, target, settings);
    return "none";
  } catch (const Error& error) {
    return error.what();
  }
}

dsl::Unikernel website(const dsl::Module<dsl::KvRo>& files) {
  const auto port = dsl::key<std::uint16_t>("port", 80, "port");
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack, dsl::KvRo>, {port});
  return dsl::unikernel("site", app(dsl::default_stack(), files));
}

std::vector<std::string> variables(const Plan& plan) {
  std::vector<std::string> out;
  for (const auto& instance : plan.instances) out.push_back(instance.variable);
  return out;
}

TEST_CASE("instances stand in the order of construction, equal modules are one") {
  const auto both = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack, dsl::Stack, dsl::Net>);
  const auto plan = plan_of(
      dsl::unikernel("x", both(dsl::default_stack(), dsl::stack(dsl::default_network()), dsl::netif("service"))));
  CHECK(variables(plan) == std::vector<std::string>{"network", "offload", "stack", "main"});
  CHECK(plan.instances[3].needs == std::vector<std::size_t>{2, 2, 0});
  CHECK(plan.instances[3].type == "Main<StackType, StackType, NetworkType>");
}

TEST_CASE("a database on a disk brings its port and its keys") {
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Database>);
  const auto plan = plan_of(dsl::unikernel("x", app(dsl::sqlite(dsl::volume(dsl::block("data"), "data"), "data"))));
  CHECK(variables(plan) == std::vector<std::string>{"block", "volume", "sqlite", "main"});
  CHECK(plan.instances[2].type == "mirage::store::Database<VolumeType>");
  CHECK(plan.find_key("data-create") != nullptr);
  CHECK(plan.find_key("data-allow-volatile") != nullptr);
  CHECK(catalogue().ports_of({"mirage_base", "mirage_store_sqlite"}) == std::vector<std::string>{"sqlite"});
  CHECK(catalogue().ports_of({"mirage_base"}).empty());
  const auto tree = dsl::value_file(dsl::tree(dsl::block("data")), "notes");
  const auto on_tree = plan_of(dsl::unikernel("x", app(dsl::sqlite(tree, "data"))));
  CHECK(variables(on_tree) == std::vector<std::string>{"block", "tree", "value_file", "sqlite", "main"});
  CHECK(on_tree.find_key("tree-format-blank") != nullptr);
  const auto fat = dsl::value_file(dsl::fat(dsl::block("data")), "notes");
  const auto on_fat = plan_of(dsl::unikernel("x", app(dsl::sqlite(fat, "data"))));
  CHECK(on_fat.instances[2].type == "mirage::store::ValueFiles<FatType>");
  CHECK(on_fat.find_key("fat-allow-volatile") != nullptr);
}

TEST_CASE("metrics() is given all that its modules need, devices included") {
  const auto net = dsl::stack(dsl::netif("inside"), "inside");
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack>);
  const auto plan = plan_of(dsl::unikernel("x", {app(net), dsl::metrics(net, dsl::cache(dsl::block("data")))}));
  const auto& exporter = plan.instances.back();
  std::vector<std::string> given;
  for (const std::size_t need : exporter.needs) given.push_back(plan.instances[need].title);
  CHECK(given == std::vector<std::string>{"stack", "cache", "offload", "block 'data'", "network 'inside'"});
  CHECK(exporter.type == "mirage::metrics::Exporter<StackType, CacheType, OffloadType, BlockType, NetworkType>");
}

TEST_CASE("a capture is a network interface, and a job writes it") {
  const auto wire = dsl::capture(dsl::netif("inside"));
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack>);
  const auto plan = plan_of(
      dsl::unikernel("x", {app(dsl::stack(wire)), dsl::record(wire, dsl::volume(dsl::block("trace"), "trace"))}));
  auto names = variables(plan);
  names.pop_back();  // the job's
  CHECK(names == std::vector<std::string>{"network", "capture", "offload", "stack", "main", "block", "volume"});
  CHECK(plan.instances.back().type == "mirage::device::Recorder<CaptureType, VolumeType>");
}

TEST_CASE("two of a module of the project's own have its source once") {
  const auto slow =
      dsl::module<dsl::Block>({.type = "Slow", .header = "slow.hpp", .sources = {"slow.cpp"}}, dsl::takes<dsl::Block>);
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block, dsl::Block>);
  const auto plan = plan_of(dsl::unikernel("x", app(slow(dsl::ramdisk(64, "a")), slow(dsl::ramdisk(64, "b")))));
  CHECK(plan.sources == std::vector<std::string>{"slow.cpp"});
}

TEST_CASE("layers of disks have keys of their own") {
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block>);
  const auto plan = plan_of(dsl::unikernel("x", app(dsl::cache(dsl::checksum(dsl::block("data"))))));
  CHECK(variables(plan) == std::vector<std::string>{"block", "checksum", "cache", "main"});
  CHECK(plan.instances[1].type == "mirage::device::Checksum<BlockType>");
  CHECK(plan.find_key("checksum-create") != nullptr);
  CHECK(plan.find_key("cache-size") != nullptr);
}

TEST_CASE("disks that fail, and that tell") {
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block>);
  const auto bad = dsl::block_fault(dsl::block("data"), {.seed = 7, .torn_write = 1000, .latency_us = 250});
  const auto plan = plan_of(dsl::unikernel("x", app(dsl::block_trace(bad, "bad"))));
  CHECK(variables(plan) == std::vector<std::string>{"block", "block_fault", "block_trace", "main"});
  CHECK(plan.instances[1].type == "mirage::device::BlockFault<BlockType>");
  const std::string source = generate_main(plan);
  CHECK(source.find(".seed = 7, .read_error = 0, .write_error = 0, .torn_write = 1000, .flush_error = 0") !=
        std::string::npos);
  CHECK(source.find(".latency = mirage::Duration{250 * std::int64_t(1000)}") != std::string::npos);
}

TEST_CASE("an encrypted disk takes its key from another and brings its port") {
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block>);
  const auto plan = plan_of(dsl::unikernel("x", app(dsl::crypt(dsl::block("data"), dsl::key_option()))));
  CHECK(variables(plan) == std::vector<std::string>{"block", "key_option", "crypt", "main"});
  CHECK(plan.instances[2].type == "mirage::device::Crypt<BlockType, KeyOptionType>");
  CHECK(plan.find_key("crypt-create") != nullptr);
  CHECK(plan.find_key("key-hex") != nullptr);
  CHECK(catalogue().ports_of({"mirage_device_crypt"}) == std::vector<std::string>{"openssl"});
  const auto other =
      plan_of(dsl::unikernel("x", app(dsl::crypt_authenticated(dsl::block("data"), dsl::block("key"), "secret"))));
  CHECK(other.instances[2].type == "mirage::device::CryptAuthenticated<BlockType, Block2Type>");
  CHECK(other.find_key("secret-allow-volatile") != nullptr);
}

TEST_CASE("two stacks have keys of their own under a group") {
  const auto both = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack, dsl::Stack>);
  const auto plan = plan_of(dsl::unikernel("x", both(dsl::default_stack(), dsl::stack(dsl::netif("inside"), "inside"))),
                            "spt", {{"inside-ipv4", "192.168.0.1/16"}});
  REQUIRE(plan.find_key("inside-ipv4") != nullptr);
  CHECK(plan.find_key("inside-ipv4")->value == "192.168.0.1/16");
  CHECK(plan.find_key("ipv4")->value == "10.0.0.2/24");
  CHECK(generate_main(plan).find(".ipv4 = keys.inside_ipv4") != std::string::npos);
  CHECK(generate_main(plan).find("manifest_note<2>") != std::string::npos);
  CHECK(generate_main(plan).contains("std::array<std::string_view, 2> devices{\"net:service\", \"net:inside\"}"));
}

dsl::Unikernel on_networks(const dsl::Module<dsl::Stack>& stack) {
  return dsl::unikernel("x", dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack>)(stack));
}

TEST_CASE("a stack on several networks: the names of interfaces are prefixes of their keys") {
  const auto tagged = dsl::interface(dsl::vlan(dsl::netif("trunk"), 5), "back");
  const auto plan = plan_of(on_networks(dsl::stack(dsl::interface("front"), tagged)));
  CHECK(variables(plan) == std::vector<std::string>{"network", "offload", "interface", "network_2", "vlan", "offload_2",
                                                    "interface_2", "multihomed_stack", "main"});
  CHECK(plan.instances[2].title == "interface 'front'");
  CHECK(plan.instances[2].arguments[0].contains(".name = \"front\""));
  CHECK(plan.instances[2].arguments[0].contains(".ipv4 = keys.front_ipv4.first,"));
  CHECK(plan.instances[7].type == "mirage::net::BasicStack<2>");
  CHECK(plan.instances[7].needs == std::vector<std::size_t>{2, 6});
  for (const char* key : {"front-ipv4", "back-dhcp", "back-routes", "back-metric", "tcp-connections"}) {
    CHECK(plan.find_key(key) != nullptr);
  }
  CHECK(plan.find_key("ipv4") == nullptr);
  const auto three = dsl::stack(dsl::interface("a"), dsl::interface("b"), dsl::interface("c"));
  CHECK(plan_of(on_networks(three)).instances[9].type == "mirage::net::BasicStack<3>");
  CHECK(plan_of(on_networks(three)).instances[9].arguments[0].contains("algorithm_named<false>("));
  const auto bbr = dsl::stack(dsl::interface("a"), dsl::interface("b"), {}, {}, "", true);
  CHECK(plan_of(on_networks(bbr)).instances[6].arguments[0].contains("algorithm_named<true>("));
}

TEST_CASE("interfaces have names of their own, and are attached once") {
  const auto front = dsl::interface("front");
  CHECK(error_of(on_networks(dsl::stack(front, front))).contains("interface 'front' is attached twice"));
  CHECK(error_of(on_networks(dsl::stack(front, dsl::interface(dsl::netif("other"), "front"))))
            .contains("two interfaces are called 'front'"));
  CHECK(error_of(on_networks(dsl::stack(front, dsl::interface(dsl::netif("other"), "my net"))))
            .contains("'my net' is no name for an interface"));
}

TEST_CASE("values of keys") {
  const auto plan = plan_of(website(dsl::crunch("htdocs")), "spt", {{"port", "8080"}});
  CHECK(plan.find_key("port")->given);
  CHECK(generate_keys(plan).find("std::uint16_t port = 8080U;") != std::string::npos);
  CHECK(error_of(website(dsl::crunch("x")), "spt", {{"port", "65536"}}).find("bad value '65536'") != std::string::npos);
  CHECK(error_of(website(dsl::crunch("x")), "spt", {{"part", "1"}}) == "unknown key --part");
}

TEST_CASE("a number is decimal for the image, too, whatever zeros are in front of it") {
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<>,
                                    {dsl::key<std::uint16_t>("port", 80, "port"), dsl::key<int>("level", 0, "level")});
  const auto keys = generate_keys(plan_of(dsl::unikernel("x", app()), "spt", {{"port", "0100"}, {"level", "-0089"}}));
  CHECK(keys.contains("port = 100U;"));
  CHECK(keys.contains("level = -89;"));
}

TEST_CASE("a value that decides a choice may be written in any of its forms") {
  const auto patience = dsl::configure_key<std::chrono::seconds>("patience", std::chrono::seconds(1), "patience");
  const auto number = dsl::configure_key<std::uint16_t>("number", 1, "number");
  const auto disk =
      dsl::match_<dsl::Block>(patience, {{std::chrono::seconds(10), dsl::ramdisk(64, "patient")}},
                              dsl::if_(dsl::is(number, 8), dsl::ramdisk(64, "eight"), dsl::ramdisk(64, "no")));
  const auto unikernel = dsl::unikernel("x", dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block>)(disk));
  CHECK(plan_of(unikernel, "spt", {{"patience", "10s"}}).instances[0].title == "ramdisk 'patient'");
  CHECK(plan_of(unikernel, "spt", {{"number", "08"}}).instances[0].title == "ramdisk 'eight'");
}

TEST_CASE("a required key is required at run time, one that decides a choice when configuring") {
  const auto who = dsl::required_key<std::string>("who", "whom to greet");
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<>, {who});
  const auto plan = plan_of(dsl::unikernel("greet", app()));
  CHECK(generate_main(plan).find("mirage::Option::Form::required") != std::string::npos);
  CHECK(generate_keys(plan).find("std::string_view who = std::string_view{};") != std::string::npos);

  const auto kind = dsl::required_key<std::string>("kind", "which");
  const auto choice = dsl::if_(dsl::is(kind, "a"), dsl::crunch("a"), dsl::crunch("b"));
  CHECK(error_of(website(choice)) == "key --kind has no value");
  CHECK(plan_of(website(choice), "spt", {{"kind", "a"}}).crunched.front().directory == "a");
  CHECK(plan_of(website(choice), "spt", {{"kind", "z"}}).crunched.front().directory == "b");
}

TEST_CASE("values that cannot work together, or at all") {
  const auto site = website(dsl::crunch("x"));
  CHECK(error_of(site, "spt", {{"tcp-congestion", "bbr"}})
            .starts_with("--tcp-congestion=bbr is not linked into the module at plan_test.cpp:"));
  CHECK(error_of(site, "spt", {{"tcp-congestion", "bbr"}, {"tcp-bbr", "true"}}) == "none");
  CHECK(error_of(site, "spt", {{"ipv4-only", "true"}, {"ipv6-only", "true"}}) ==
        "--ipv4-only and --ipv6-only leave nothing");
  CHECK(error_of(site, "spt", {{"ipv4-only", "true"}}) == "none");
  CHECK(error_of(on_networks(dsl::stack(dsl::interface("a"), dsl::interface("b"))), "spt",
                 {{"b-ipv4-only", "true"}, {"b-ipv6-only", "true"}}) ==
        "--b-ipv4-only and --b-ipv6-only leave nothing");
  CHECK(error_of(site, "spt", {{"logs", "foo"}}) == "bad value 'foo' for key --logs (mirage)");
  CHECK(error_of(site, "spt", {{"logs", "warning,tcp:debug"}}) == "none");
  const auto app = dsl::main_module("Main", "main.hpp");
  CHECK(error_of(dsl::unikernel("x", app(), {.memory = 0})) == "0 MiB of memory");
  CHECK(error_of(dsl::unikernel("x", app(), {.memory = 2})) == "none");
}

TEST_CASE("options of the tool are no names of keys") {
  for (const char* name : {"help", "target", "file", "json", "quiet"}) {
    const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<>, {dsl::flag(name, "mine")});
    CHECK(error_of(dsl::unikernel("x", app())) == std::format("the key name '{}' is taken", name));
  }
}

TEST_CASE("texts of config.cpp stay texts in what is generated") {
  const auto with = [](const char* doc) {
    const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<>, {dsl::flag("port", doc)});
    return generate_keys(plan_of(dsl::unikernel("x", app())));
  };
  CHECK(with("one\n#error two\r\tthree").contains("  /// one #error two  three\n  bool port"));
  CHECK(with("a path: C:\\").contains("  /// a path: C:\\.\n  bool port"));
  CHECK(with("blank after it \\ ").contains("\\ .\n  bool port"));
  const auto job = [](const char* header) { return error_of(dsl::unikernel("x", dsl::main_module("Main", header)())); };
  CHECK(job("main.hpp\"\n#error") == "a header's name has no quotes and no lines");
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack>);
  CHECK(error_of(dsl::unikernel("x", app(dsl::stack(dsl::netif("n"), "my group")))) ==
        "'my group' is no prefix for keys");
}

TEST_CASE("the project's own folder is not linked into its image") {
  const auto root = std::filesystem::temp_directory_path() / std::format("mirage-crunch-{}", ::getpid());
  std::filesystem::create_directories(root / "project/build");
  std::filesystem::create_directories(root / "project/htdocs");
  std::filesystem::create_directories(root / "beside");
  const auto error = [&](const char* directory) {
    try {
      (void)generate_crunch({directory, "table", "config.cpp:1"}, root / "project");
      return std::string("none");
    } catch (const Error& problem) {
      return std::string(problem.what());
    }
  };
  for (const char* own : {"", ".", "./", "htdocs/..", "..", "/"}) {
    CHECK(error(own) == std::format("'{}' is the project's folder, or around it", own));
  }
  CHECK(error("build") == "'build' is where mirage puts what it makes");
  CHECK(error("htdocs") == "none");
  CHECK(error("../beside") == "none");
  std::filesystem::remove_all(root);
}

TEST_CASE("an image has as many keys as it can read") {
  const auto with = [](int count) {
    std::vector<dsl::AnyKey> keys;
    for (int i = 0; i < count; ++i) keys.push_back(dsl::key<std::uint16_t>("k" + std::to_string(i), 0, ""));
    return dsl::unikernel("x", dsl::main_module("Main", "main.hpp", dsl::takes<>, keys)());
  };
  CHECK(error_of(with(125)) == "none");  // and name, logs, delay
  CHECK(error_of(with(126)) == "the image has 129 keys, and reads at most 128");
  CHECK(generate_main(plan_of(with(1))).contains("static_assert(std::size(options) <= mirage::maximum_options)"));
}

TEST_CASE("conditions") {
  const auto tls = dsl::flag("tls", "encrypt");
  const auto files = [&](const dsl::Condition& condition) {
    return dsl::if_(condition, dsl::crunch("yes"), dsl::crunch("no"));
  };
  const auto taken = [&](const dsl::Condition& condition, const char* target, const Settings& settings) {
    return plan_of(website(files(condition)), target, settings).crunched.front().directory;
  };
  CHECK(taken(tls, "spt", {}) == "no");
  CHECK(taken(tls, "spt", {{"tls", "true"}}) == "yes");
  CHECK(taken(!dsl::Condition(tls) && dsl::target_is("hvt"), "hvt", {}) == "yes");
  CHECK(taken(dsl::Condition(tls) || dsl::target_is("hvt"), "spt", {}) == "no");
}

TEST_CASE("what cannot be: kinds, names and devices") {
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block>);
  const auto with = [&](const dsl::Module<dsl::Block>& disk) { return error_of(dsl::unikernel("x", app(disk))); };
  CHECK(with(dsl::library_module<dsl::Block>("network")) == "module 'network' is a Net, not a Block");
  CHECK(with(dsl::library_module<dsl::Block>("floppy")) == "target spt has no module 'floppy'");
  CHECK(with(dsl::block("a b")) == "'a b' is no name for a device");
  CHECK(with(dsl::block(std::string(68, 'x'))).find("is no name for a device") != std::string::npos);
  CHECK(error_of(dsl::unikernel("a b", app(dsl::block("d")))) == "'a b' is no name for a unikernel");
  const auto two = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block, dsl::Net>);
  CHECK(error_of(dsl::unikernel("x", two(dsl::block("d"), dsl::netif("d")))).starts_with("two devices are called 'd'"));
}

TEST_CASE("library modules are given what they take") {
  const auto disk = [](const dsl::Module<dsl::Block>& module) {
    return error_of(dsl::unikernel("x", dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Block>)(module)));
  };
  const auto stack = [](const dsl::Module<dsl::Stack>& module) {
    return error_of(dsl::unikernel("x", dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack>)(module)));
  };
  CHECK(error_of(website(dsl::library_module<dsl::KvRo>("crunch"))) ==
        "module 'crunch' needs the parameter 'directory'");
  CHECK(disk(dsl::library_module<dsl::Block>("ramdisk")) == "module 'ramdisk' needs the parameter 'sectors'");
  CHECK(disk(dsl::library_module<dsl::Block>("block")) == "module 'block' needs the parameter 'name'");
  CHECK(disk(dsl::library_module<dsl::Block>("cache")) == "module 'cache' takes 1 module, and 0 were given");
  CHECK(disk(dsl::library_module<dsl::Block>("ramdisk", {dsl::block("d").node()}, {{"sectors", 8}})) ==
        "module 'ramdisk' takes 0 modules, and 1 was given");
  CHECK(stack(dsl::library_module<dsl::Stack>("stack")) == "module 'stack' takes 1 module, and 0 were given");
  CHECK(stack(dsl::library_module<dsl::Stack>("stack", {dsl::netif("n").node()})) ==
        "module 'stack' needs the parameter 'bbr'");
  CHECK(stack(dsl::library_module<dsl::Stack>("multihomed_stack", {dsl::interface("a").node()}, {{"bbr", false}})) ==
        "module 'multihomed_stack' takes 2 to 4 modules, and 1 was given");
  CHECK(stack(dsl::stack(dsl::netif("n"), "", {.dhcp_clients = "bogus"})) ==
        "bad value 'bogus' for the parameter 'dhcp-clients' of module 'stack'");
}

TEST_CASE("libraries and headers are there") {
  const auto linking = dsl::module<dsl::Job>({.type = "Main", .header = "main.hpp", .libraries = {"mirage_nope"}});
  CHECK(error_of(dsl::unikernel("x", linking())) == "there is no library 'mirage_nope'");
  const auto app = dsl::main_module("Main", "main.hpp");
  CHECK(error_of(dsl::unikernel("x", app(), {.libraries = {"mirage_nope"}})) == "there is no library 'mirage_nope'");
  CHECK(error_of(dsl::unikernel("x", app(), {.libraries = {"mirage_http"}})) == "none");
  CHECK(error_of(dsl::unikernel("x", dsl::main_module("Main", "mirage/nope.hpp")())) ==
        "there is no header 'mirage/nope.hpp'");
  auto graph = graph_of(dsl::unikernel("x", app()));
  graph.vertices.front().missing = {"main.hpp"};
  CHECK_THROWS_WITH_AS((void)make_plan(graph, catalogue(), catalogue().target("spt"), {}),
                       "there is no file 'main.hpp'", Error);
}

TEST_CASE("module keys do not hide the project's") {
  const auto mine = dsl::key<bool>("dhcp", true, "mine");
  const auto app = dsl::main_module("Main", "main.hpp", dsl::takes<dsl::Stack>, {mine});
  (void)app;
  // The error names both: which file the DSL was used in does not matter here.
  const auto graph = graph_of(dsl::unikernel("x", app(dsl::default_stack())));
  CHECK(graph.keys.size() == 6);  // five are of default_stack()
}

TEST_CASE("several jobs run side by side") {
  const auto one = dsl::main_module("One", "main.hpp");
  const auto two = dsl::main_module("ns::Two", "main.hpp");
  const auto main = generate_main(plan_of(dsl::unikernel("x", {one(), two()})));
  CHECK(main.find("One::start(keys)),") != std::string::npos);
  CHECK(main.find("ns::Two::start(keys))};") != std::string::npos);
  CHECK(main.find("mirage::run_jobs(shard, jobs)") != std::string::npos);
}

TEST_CASE("pictures of the graph") {
  const auto plan = plan_of(website(dsl::crunch("a&b")));
  CHECK(describe_dot(plan).find("offload -> stack;") != std::string::npos);
  const auto svg = describe_svg(plan);
  CHECK(svg.starts_with("<svg"));
  CHECK(svg.find("crunch 'a&amp;b'") != std::string::npos);
}

TEST_CASE("an image for size is packed where the target can") {
  const auto packed = [](const char* target, const Settings& settings) {
    return plan_of(website(dsl::crunch("htdocs")), target, settings).packed();
  };
  CHECK(packed("virtio", {{"optimize", "size"}}));
  CHECK_FALSE(packed("virtio", {{"optimize", "speed"}}));
  CHECK_FALSE(packed("virtio", {}));
  CHECK_FALSE(packed("spt", {{"optimize", "size"}}));  // Solo5's tenders load a file as it is
}

TEST_CASE("modules have names of their own, and all that is in braces is there") {
  const auto root = std::filesystem::temp_directory_path() / std::format("mirage-catalogue-{}", ::getpid());
  const auto module = [&](const char* folder, const char* text) {
    std::filesystem::create_directories(root / "mirage" / folder);
    std::ofstream(root / "mirage" / folder / "module.json") << text;
  };
  const auto error = [&] {
    try {
      const Catalogue read(root);
      return std::string("none");
    } catch (const Error& problem) {
      return problem.place() + ": " + problem.what();
    }
  };
  module("one", R"({"name": "disk", "kind": "Block", "type": "T<{0}>", "header": "t.hpp"})");
  CHECK(error() == "none");
  module("two", R"({"name": "disk", "kind": "Block", "type": "U", "header": "u.hpp"})");
  CHECK(error() == std::format("{0}/two/module.json: module 'disk' is described in {0}/one/module.json, too",
                               (root / "mirage").string()));
  module("two", R"({"name": "other", "kind": "Block", "type": "U", "header": "u.hpp", "arguments": ["{size}"]})");
  CHECK(error().ends_with("two/module.json: module 'other' has no 'size' to fill in"));
  std::filesystem::remove_all(root);
}

TEST_CASE("every target's descriptor is complete") {
  CHECK(catalogue().targets().size() >= 4);
  for (const auto& target : catalogue().targets()) {
    CAPTURE(target.name);
    CHECK(!target.description.empty());
    CHECK(!target.run.program.empty());
    CHECK(catalogue().find_module(target, "network") != nullptr);
    CHECK(catalogue().find_module(target, "block") != nullptr);
    CHECK(target.guest == !target.linker_script.empty());
  }
  CHECK_THROWS_AS((void)catalogue().target("vax"), UsageError);
}

}  // namespace
}  // namespace mirage::plan

// The header declares it; the tests build their unikernels themselves.
mirage::config::Unikernel configure() {
  return mirage::config::unikernel("unused", mirage::config::main_module("Main", "main.hpp")());
}
