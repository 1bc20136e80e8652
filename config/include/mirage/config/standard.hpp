// SPDX-License-Identifier: ISC
// The standard modules by name. What each is made of (type, header, libraries, run-time keys) stands in a module.json
// beside its source, or in the target's target.json for what a target supplies; both are found by presence, so a new
// device needs no edit here: `library_module<Kind>("name", needs, parameters)` reaches it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <mirage/config/module.hpp>

namespace mirage::config {

/// Parameters of a library module, by the names of its module.json.
using Parameters = std::vector<std::pair<std::string, Argument>>;

/// A module that comes with mirage or with the target, by its descriptor's name.
template <class Kind>
Module<Kind> library_module(std::string name, std::vector<detail::NodePtr> needs = {}, Parameters parameters = {},
                            std::string group = "", std::source_location where = std::source_location::current()) {
  auto node = detail::node_of_kind<Kind>(detail::Node::Form::library, where);
  node.module = std::move(name);
  node.needs = std::move(needs);
  node.parameters = std::move(parameters);
  node.group = std::move(group);
  return Module<Kind>(std::make_shared<const detail::Node>(std::move(node)));
}

/// A network interface that the host attaches under this name (`mirage run --net NAME=tap0`).
inline Module<Net> netif(std::string name, std::source_location where = std::source_location::current()) {
  return library_module<Net>("network", {}, {{"name", std::move(name)}}, "", where);
}

/// A network interface that several CPUs share (`mirage run --cpus N`), each with a stack of its own; targets spt and
/// unix. See doc/shards.md.
inline Module<Net> shared_netif(std::string name, std::source_location where = std::source_location::current()) {
  const auto device = library_module<Net>("shared_network", {}, {{"name", std::move(name)}}, "", where);
  return library_module<Net>("steer", {device.node()}, {}, "", where);
}

/// The network interface of a unikernel that has one. With `mirage configure --cpus=many` several CPUs may share it.
inline Module<Net> default_network(std::string name = "service",
                                   std::source_location where = std::source_location::current()) {
  auto cpus = choice_key("cpus", {"one", "many"}, "CPUs that run the image: one, or as many as run --cpus says", where);
  return if_(is(cpus, "many"), shared_netif(name, where), netif(name, where), where);
}

/// The interface with everything that its device lacks supplied in software: checksums, segmentation, gathering.
inline Module<Net> offload(const Module<Net>& net, std::source_location where = std::source_location::current()) {
  return library_module<Net>("offload", {net.node()}, {}, "", where);
}

/// A switch between networks, for a stack on top of it or by itself.
inline Module<Net> bridge(const std::vector<Module<Net>>& ports,
                          std::source_location where = std::source_location::current()) {
  std::vector<detail::NodePtr> needs;
  for (const Module<Net>& port : ports) needs.push_back(offload(port, where).node());
  return library_module<Net>("bridge", std::move(needs), {}, "", where);
}

/// One VLAN (802.1Q) of a network interface: tags what is sent, takes the tag off what arrives.
inline Module<Net> vlan(const Module<Net>& net, std::uint16_t id, std::uint8_t priority = 0,
                        std::source_location where = std::source_location::current()) {
  return library_module<Net>("vlan", {net.node()}, {{"id", std::uint64_t{id}}, {"priority", std::uint64_t{priority}}},
                             "", where);
}

/// What a stack links besides the rest.
struct StackParts {
  bool bbr = false;                   ///< --tcp-congestion=bbr is a choice then
  std::string dhcp_clients = "ipv4";  ///< "ipv4", "both" IP versions or "none"
  bool redirects = false;             ///< routers may name a better first hop (RFC 1122 3.2.2.2, RFC 4861 8)
};

/// TCP/IP on a network interface. Its run-time keys (--ipv4, --ipv6, --dhcp ...) get the prefix `group-`.
inline Module<Stack> stack(const Module<Net>& net, std::string group = "", const StackParts& parts = {},
                           std::source_location where = std::source_location::current()) {
  return library_module<Stack>(
      "stack", {offload(net, where).node()},
      {{"bbr", parts.bbr}, {"dhcp-clients", Argument::code(parts.dhcp_clients)}, {"redirects", parts.redirects}},
      std::move(group), where);
}

/// A network for a stack on several. Its run-time keys (--ipv4, --dhcp, --routes ...) get the prefix `name-`; the name
/// also stands in logs and in zones (fe80::1%name).
inline Module<Interface> interface(const Module<Net>& net, std::string name,
                                   std::source_location where = std::source_location::current()) {
  return library_module<Interface>("interface", {offload(net, where).node()}, {{"name", name}}, name, where);
}

/// The same on the network interface that the host attaches under that name.
inline Module<Interface> interface(std::string name, std::source_location where = std::source_location::current()) {
  return interface(netif(name, where), name, where);
}

/// TCP/IP on two to four networks at once: `stack(interface("front"), interface("back"))`. Nothing is forwarded between
/// them. Run-time keys of TCP (--tcp-connections ...) get the prefix `group-`. `bbr`, `redirects`: see StackParts.
inline Module<Stack> stack(const Module<Interface>& first, const Module<Interface>& second,
                           const std::optional<Module<Interface>>& third = {},
                           const std::optional<Module<Interface>>& fourth = {}, std::string group = "",
                           bool bbr = false, bool redirects = false,
                           std::source_location where = std::source_location::current()) {
  std::vector<detail::NodePtr> needs{first.node(), second.node()};
  for (const auto* further : {&third, &fourth}) {
    if (*further) needs.push_back((*further)->node());
  }
  return library_module<Stack>("multihomed_stack", std::move(needs), {{"bbr", bbr}, {"redirects", redirects}},
                               std::move(group), where);
}

/// The host's own sockets behind the Stack type: target unix only.
inline Module<Stack> socket_stack(std::source_location where = std::source_location::current()) {
  return library_module<Stack>("socket_stack", {}, {}, "", where);
}

/// TCP/IP on the default network. On unix, `mirage configure --net=socket` takes the host's sockets instead.
inline Module<Stack> default_stack(std::source_location where = std::source_location::current()) {
  auto net = choice_key("net", {"direct", "socket"}, "stack on unix: our own (direct) or the host's (socket)", where);
  auto bbr = flag("tcp-bbr", "link BBR, for --tcp-congestion=bbr", where);
  auto dhcp = choice_key("dhcp-clients", {"ipv4", "both", "none"}, "DHCP clients to link, by IP version", where);
  auto redirects = flag("accept-redirects", "let routers name a better first hop", where);
  const auto network = default_network("service", where);
  const auto with = [&](bool links_bbr, bool takes_redirects) {
    const auto one = [&](const char* clients) {
      return stack(network, "", {links_bbr, clients, takes_redirects}, where);
    };
    return match_<Stack>(dhcp, {{"both", one("both")}, {"none", one("none")}}, one("ipv4"), where);
  };
  const auto direct = [&](bool takes_redirects) {
    return if_(bbr, with(true, takes_redirects), with(false, takes_redirects), where);
  };
  return if_(target_is("unix") && is(net, "socket"), socket_stack(where),
             if_(redirects, direct(true), direct(false), where), where);
}

/// Names to addresses, by DNS over a stack. Its run-time keys (--nameserver, --search) get the prefix `group-`.
inline Module<Resolver> resolver(const Module<Stack>& stack, std::string group = "",
                                 std::source_location where = std::source_location::current()) {
  return library_module<Resolver>("resolver", {stack.node()}, {}, std::move(group), where);
}

/// A job that serves the counters of the stack, of other modules and of all that is beneath them, down to the devices,
/// to Prometheus, at /metrics on --metrics-port: `unikernel("web", {app(net, disk), metrics(net, disk)})`. It never
/// ends.
template <class... Kinds>
Module<Job> metrics(const Module<Stack>& net, const Module<Kinds>&... modules) {
  auto port = key<std::uint16_t>("metrics-port", 9100, "TCP port that serves the counters, at /metrics");
  return module<Job>(
      {.type = "mirage::metrics::Exporter", .header = "mirage/metrics/exporter.hpp", .keys = {port}, .beneath = true},
      takes<Stack, Kinds...>)(net, modules...);
}

/// A log for the application, whose lines go to the console and to whoever sends them: syslog().
inline Module<Loggers> remote_log(std::source_location where = std::source_location::current()) {
  return library_module<Loggers>("remote_log", {}, {}, "", where);
}

/// A job that sends the lines of a remote_log() by syslog (RFC 5424) to --syslog=[udp://|tcp://]ADDRESS[:PORT]:
/// `unikernel("web", {app(net, log), syslog(net, log)})`. With a destination it never ends.
inline Module<Job> syslog(const Module<Stack>& net, const Module<Loggers>& log) {
  auto destination = key<std::string>("syslog", "", "send the log there: [udp://|tcp://]ADDRESS[:PORT]");
  return main_module("mirage::syslog::Forwarder", "mirage/syslog/sender.hpp", takes<Stack, Loggers>, {destination})(
      net, log);
}

/// A disk that the host attaches under this name (`mirage run --block NAME=FILE`).
inline Module<Block> block(std::string name, std::source_location where = std::source_location::current()) {
  return library_module<Block>("block", {}, {{"name", std::move(name)}}, "", where);
}

/// A disk in memory, zeroed at start. Two of the same size are one unless their names differ.
inline Module<Block> ramdisk(std::uint64_t sectors, std::string name = "ramdisk",
                             std::source_location where = std::source_location::current()) {
  return library_module<Block>("ramdisk", {}, {{"sectors", sectors}, {"name", std::move(name)}}, "", where);
}

/// Two files on a raw disk, data and journal. Its run-time keys (--create, --allow-volatile) get the prefix `group-`.
inline Module<JournaledFile> volume(const Module<Block>& disk, std::string group = "",
                                    std::source_location where = std::source_location::current()) {
  return library_module<JournaledFile>("volume", {disk.node()}, {}, std::move(group), where);
}

/// Two files in a store, data and journal, as the values NAME/data and NAME/journal:
/// `sqlite(value_file(tree(block("data")), "notes"))`. The store has batches (tree, mem) or changes values in place
/// (fat). What else is in it does not matter.
inline Module<JournaledFile> value_file(const Module<KvRw>& store, std::string name,
                                        std::source_location where = std::source_location::current()) {
  return library_module<JournaledFile>("value_file", {store.node()}, {{"name", std::move(name)}}, "", where);
}

/// A network interface that counts its frames by direction, destination, size and protocol, for metrics():
/// `auto net = stack(count(default_network()));`. On each wire that is counted by itself, below what it is for.
inline Module<Net> count(const Module<Net>& device, std::source_location where = std::source_location::current()) {
  return library_module<Net>("count", {device.node()}, {}, "", where);
}

/// A network interface that passes its frames on and keeps copies for a record() job.
inline Module<Capture> capture(const Module<Net>& device,
                               std::source_location where = std::source_location::current()) {
  return library_module<Capture>("capture", {device.node()}, {}, "", where);
}

/// A job that writes what a capture() keeps as a file that tcpdump and Wireshark read, over the one before:
/// `auto wire = capture(default_network());`
/// `unikernel("web", {app(stack(wire)), record(wire, volume(block("trace")))})`, and then
/// `mirage store cat trace.img data | tcpdump -r -`. It never ends.
inline Module<Job> record(const Module<Capture>& wire, const Module<JournaledFile>& files,
                          std::source_location where = std::source_location::current()) {
  return main_module("mirage::device::Recorder", "mirage/device/pcap/capture.hpp", takes<Capture, JournaledFile>, {},
                     where)(wire, files);
}

/// An SQLite database: `sqlite(volume(block("data")))`. Its run-time key (--cache) gets the prefix `group-`.
inline Module<Database> sqlite(const Module<JournaledFile>& files, std::string group = "",
                               std::source_location where = std::source_location::current()) {
  return library_module<Database>("sqlite", {files.node()}, {}, std::move(group), where);
}

/// A partition of a disk (MBR or GPT): its number, logical ones from "5", or its GPT name.
inline Module<Block> partition(const Module<Block>& disk, std::string which,
                               std::source_location where = std::source_location::current()) {
  return library_module<Block>("partition", {disk.node()}, {{"which", std::move(which)}}, "", where);
}

/// A disk that finds flipped bits: a checksum for every 512 bytes. Its run-time keys (--create, --allow-volatile) get
/// the prefix `group-`.
inline Module<Block> checksum(const Module<Block>& disk, std::string group = "checksum",
                              std::source_location where = std::source_location::current()) {
  return library_module<Block>("checksum", {disk.node()}, {}, std::move(group), where);
}

/// A disk with a write-back cache. Its run-time key (--size, in KiB) gets the prefix `group-`.
inline Module<Block> cache(const Module<Block>& disk, std::string group = "cache",
                           std::source_location where = std::source_location::current()) {
  return library_module<Block>("cache", {disk.node()}, {}, std::move(group), where);
}

/// An encrypted disk: `crypt(block("data"), block("key"))`. The key is the first 64 bytes of the other disk; see
/// doc/storage.md. Its run-time key (--create) gets the prefix `group-`.
inline Module<Block> crypt(const Module<Block>& disk, const Module<Block>& key, std::string group = "crypt",
                           std::source_location where = std::source_location::current()) {
  return library_module<Block>("crypt", {disk.node(), key.node()}, {}, std::move(group), where);
}

/// The same, and it finds changes: a tag for every 512 bytes, a sixteenth of the space. Its run-time keys (--create,
/// --allow-volatile) get the prefix `group-`.
inline Module<Block> crypt_authenticated(const Module<Block>& disk, const Module<Block>& key,
                                         std::string group = "crypt",
                                         std::source_location where = std::source_location::current()) {
  return library_module<Block>("crypt_authenticated", {disk.node(), key.node()}, {}, std::move(group), where);
}

/// A secret from the command line, in hexadecimal digits, for a device that takes its from a disk; for trials: whoever
/// lists the host's processes can read it. Its run-time key (--hex) gets the prefix `group-`.
inline Module<Block> key_option(std::string group = "key",
                                std::source_location where = std::source_location::current()) {
  return library_module<Block>("key_option", {}, {}, std::move(group), where);
}

/// The same disk, each operation a debug line (`--logs=trace:debug`).
inline Module<Block> block_trace(const Module<Block>& disk, std::string name = "disk",
                                 std::source_location where = std::source_location::current()) {
  return library_module<Block>("block_trace", {disk.node()}, {{"name", std::move(name)}}, "", where);
}

/// How often a block_fault() does what, in parts per million of the operations.
struct BlockFaults {
  std::uint64_t seed = 1;  ///< decides which
  std::uint32_t read_error = 0;
  std::uint32_t write_error = 0;  ///< nothing is written
  std::uint32_t torn_write = 0;   ///< an error, and some of the sectors are written
  std::uint32_t flush_error = 0;  ///< nothing is flushed
  std::uint32_t lost_flush = 0;   ///< success, and nothing is flushed
  std::uint32_t bit_rot = 0;      ///< one bit of what is read is wrong
  std::uint64_t latency_us = 0;   ///< microseconds that every operation takes more
};

/// A disk that fails, for tests: `tree(block_fault(block("data"), {.torn_write = 1000}))`.
inline Module<Block> block_fault(const Module<Block>& disk, const BlockFaults& faults,
                                 std::source_location where = std::source_location::current()) {
  return library_module<Block>("block_fault", {disk.node()},
                               {{"seed", faults.seed},
                                {"read_error", faults.read_error},
                                {"write_error", faults.write_error},
                                {"torn_write", faults.torn_write},
                                {"flush_error", faults.flush_error},
                                {"lost_flush", faults.lost_flush},
                                {"bit_rot", faults.bit_rot},
                                {"latency", faults.latency_us}},
                               "", where);
}

/// The files below a directory of the project, linked into the image.
inline Module<KvRo> crunch(std::string directory, std::source_location where = std::source_location::current()) {
  return library_module<KvRo>("crunch", {}, {{"directory", std::move(directory)}}, "", where);
}

/// A store in memory of at most `bytes`, empty at start. Two of the same size are one unless their names differ.
inline Module<KvStore> mem(std::uint64_t bytes, std::string name = "mem",
                           std::source_location where = std::source_location::current()) {
  return library_module<KvStore>("mem", {}, {{"bytes", bytes}, {"name", std::move(name)}}, "", where);
}

/// The values of a tar archive on a disk: `mirage run --block NAME=site.tar`.
inline Module<KvRo> tar(const Module<Block>& disk, std::source_location where = std::source_location::current()) {
  return library_module<KvRo>("tar", {disk.node()}, {}, "", where);
}

/// The same, and set() appends to the archive; the application asks for that by a concept of its own. Its run-time key
/// --tar-allow-volatile has the prefix `group-`.
inline Module<KvRo> tar_append(const Module<Block>& disk, std::string group = "tar",
                               std::source_location where = std::source_location::current()) {
  return library_module<KvRo>("tar_append", {disk.node()}, {}, std::move(group), where);
}

/// A store on a disk that survives crashes: `tree(block("data"))`. Made with `mirage store format`. Its run-time keys
/// (--tree-cache, --tree-allow-volatile, --tree-format-blank) have the prefix `group-`.
inline Module<KvStore> tree(const Module<Block>& block, std::string group = "tree",
                            std::source_location where = std::source_location::current()) {
  return library_module<KvStore>("tree", {block.node()}, {}, std::move(group), where);
}

/// The files of a FAT volume on a disk, read only.
inline Module<KvRo> fat_reader(const Module<Block>& disk,
                               std::source_location where = std::source_location::current()) {
  return library_module<KvRo>("fat_reader", {disk.node()}, {}, "", where);
}

/// The files of a FAT volume on a disk. Its run-time key --fat-allow-volatile has the prefix `group-`.
inline Module<KvRw> fat(const Module<Block>& disk, std::string group = "fat",
                        std::source_location where = std::source_location::current()) {
  return library_module<KvRw>("fat", {disk.node()}, {}, std::move(group), where);
}

inline Module<Console> default_console(std::source_location where = std::source_location::current()) {
  return library_module<Console>("console", {}, {}, "", where);
}

inline Module<Clock> default_clock(std::source_location where = std::source_location::current()) {
  return library_module<Clock>("clock", {}, {}, "", where);
}

inline Module<Random> default_random(std::source_location where = std::source_location::current()) {
  return library_module<Random>("random", {}, {}, "", where);
}

}  // namespace mirage::config
