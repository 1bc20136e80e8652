// SPDX-License-Identifier: ISC
#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tender/attach.hpp>
#include <tender/file.hpp>

using namespace mirage::tender;
namespace solo5 = mirage::target::solo5;

namespace {

Manifest manifest_with(std::vector<solo5::Device> devices) {
  std::vector<ManifestEntry> entries(devices.size() + 1);
  entries[0].type = static_cast<std::uint32_t>(DeviceType::reserved_first);
  for (std::size_t i = 0; i < devices.size(); ++i) {
    entries[i + 1].type = static_cast<std::uint32_t>(devices[i].type);
    devices[i].name.copy(entries[i + 1].name, solo5::device_name_size - 1);
  }
  const solo5::ManifestHeader header{solo5::manifest_version, static_cast<std::uint32_t>(entries.size())};
  std::vector<std::byte> bytes(sizeof header + entries.size() * sizeof(ManifestEntry));
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, entries.data(), entries.size() * sizeof(ManifestEntry));
  const auto manifest = Manifest::parse(bytes);
  REQUIRE(manifest);
  return *manifest;
}

/// A file that goes away at the end.
struct TemporaryFile {
  explicit TemporaryFile(off_t size) {
    descriptor = File{::mkstemp(path.data())};
    REQUIRE(::ftruncate(descriptor.get(), size) == 0);
  }
  ~TemporaryFile() { ::unlink(path.c_str()); }
  std::string path = "/tmp/mirage-attach-test-XXXXXX";
  File descriptor;
};

struct Attempt {
  Manifest manifest;
  Result<AttachedDevices> devices;
  ~Attempt() {
    if (!devices) return;
    for (const AttachedDevice& device : devices->all()) ::close(device.descriptor);
  }
};

Attempt attach(const Manifest& declared, std::vector<std::string> words, std::uint64_t wanted = 0) {
  words.emplace_back("image");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  const auto options = parse_options(pointers);
  REQUIRE(options);
  Manifest manifest = declared;
  auto devices = attach_devices(manifest, *options, wanted_offloads(wanted));
  return {manifest, std::move(devices)};
}

const std::vector<solo5::Device> disk{{DeviceType::block, "disk"}};
const std::vector<solo5::Device> net{{DeviceType::net, "net"}};

std::string error_of(const Attempt& attempt) {
  return attempt.devices ? "attached" : std::string{attempt.devices.error().text()};
}

}  // namespace

TEST_CASE("a file becomes a block device") {
  const TemporaryFile file{8192};
  const auto done = attach(manifest_with(disk), {"--block:disk=" + file.path, "--block-sector-size:disk=4096"});
  REQUIRE(done.devices);
  const ManifestEntry& entry = done.manifest.entries()[1];
  CHECK(entry.attached == 1);
  CHECK(entry.block.capacity == 8192);
  CHECK(entry.block.block_size == 4096);
  CHECK(entry.descriptor == done.devices->all()[0].descriptor);
  // One guest at a time.
  CHECK(error_of(attach(manifest_with(disk), {"--block:disk=" + file.path})).find("in use") != std::string::npos);
}

TEST_CASE("a disk of the host that is mounted or somebody's is no block device") {
  const TemporaryFile backing{8192};
  const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  const File closed{control};
  const int number = control < 0 ? -1 : ::ioctl(control, LOOP_CTL_GET_FREE);
  const std::string path = "/dev/loop" + std::to_string(number);
  const File loop{number < 0 ? -1 : ::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  if (!loop || ::ioctl(loop.get(), LOOP_SET_FD, backing.descriptor.get()) != 0) {
    MESSAGE("not run: no loop device can be made here");
    return;
  }
  {
    const File held{::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC)};  // as mount(2) does
    REQUIRE(held);
    CHECK(error_of(attach(manifest_with(disk), {"--block:disk=" + path})).find("is mounted") != std::string::npos);
  }
  CHECK(error_of(attach(manifest_with(disk), {"--block:disk=" + path})) == "attached");
  ::ioctl(loop.get(), LOOP_CLR_FD);
}

TEST_CASE("block devices that cannot be") {
  const TemporaryFile odd{1000};
  const TemporaryFile empty{0};
  CHECK(error_of(attach(manifest_with(disk), {"--block:disk=" + odd.path})).find("block aligned") != std::string::npos);
  CHECK(error_of(attach(manifest_with(disk), {"--block:disk=" + empty.path})).find("1 block") != std::string::npos);
  CHECK(error_of(attach(manifest_with(disk), {"--block:disk=/nonexistent"})).find("cannot open") != std::string::npos);
}

TEST_CASE("a file that cannot be written is a read-only device for images that mind") {
  const TemporaryFile file{8192};
  REQUIRE(::fchmod(file.descriptor.get(), 0444) == 0);
  const bool root = ::geteuid() == 0;
  if (root) REQUIRE(::seteuid(65534) == 0);
  const auto told = attach(manifest_with(disk), {"--block:disk=" + file.path}, solo5::block_limits);
  const std::string untold = error_of(attach(manifest_with(disk), {"--block:disk=" + file.path}));
  if (root) REQUIRE(::seteuid(0) == 0);
  REQUIRE(told.devices);
  const AttachedDevice& device = told.devices->all()[0];
  CHECK(device.read_only);
  CHECK_FALSE(device.discard);
  CHECK((::fcntl(device.descriptor, F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(untold.find("Permission denied") != std::string::npos);
  solo5::Extension extension{};
  CHECK(describe_blocks(*told.devices, ~std::uint64_t{0}, extension) == solo5::block_limits);
  CHECK(extension.read_only_devices == 2);
  CHECK(extension.block_alignment == 1);
}

TEST_CASE("direct I/O, for images that can align their memory") {
  const TemporaryFile file{8192};
  const std::vector<std::string> words{"--block:disk=" + file.path, "--block-direct:disk=on",
                                       "--block-sector-size:disk=4096"};
  CHECK(error_of(attach(manifest_with(disk), words)).find("leave --block-direct out") != std::string::npos);
  const auto done = attach(manifest_with(disk), words, solo5::block_limits);
  if (!done.devices) {
    MESSAGE("not run: ", error_of(done));  // a file system without it
    return;
  }
  const AttachedDevice& device = done.devices->all()[0];
  CHECK((::fcntl(device.descriptor, F_GETFL) & O_DIRECT) != 0);
  solo5::Extension extension{};
  (void)describe_blocks(*done.devices, solo5::block_limits, extension);
  CHECK(extension.block_alignment == device.alignment);
  CHECK(device.alignment >= 4);
}

TEST_CASE("declared and named devices must match") {
  CHECK(error_of(attach(manifest_with(disk), {})).find("--block:disk=FILE") != std::string::npos);
  CHECK(error_of(attach(manifest_with(disk), {"--net:disk=tap0"})).find("declares block device 'disk'") !=
        std::string::npos);
  CHECK(error_of(attach(manifest_with({}), {"--net:n=tap0"})).find("declares no device") != std::string::npos);
}

TEST_CASE("packet sockets are networks") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  const File other{pair[0]};
  const auto done = attach(manifest_with(net), {"--net:net=@" + std::to_string(pair[1]), "--net-mtu:net=9000"});
  REQUIRE(done.devices);
  const AttachedDevice& device = done.devices->all()[0];
  CHECK(device.kind == NetKind::socket);
  CHECK(!device.vnet_header);
  CHECK(done.manifest.entries()[1].net.mtu == 9000);
  CHECK((done.manifest.entries()[1].net.mac[0] & 3) == 2);  // local, not a group
  CHECK((::fcntl(device.descriptor, F_GETFL) & O_NONBLOCK) != 0);
}

TEST_CASE("descriptors that are no networks") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const File one{pair[0]};
  const auto attempt = [](const std::string& source) {
    return error_of(attach(manifest_with(net), {"--net:net=" + source}));
  };
  CHECK(attempt("@" + std::to_string(pair[1])).find("message boundaries") != std::string::npos);
  CHECK(attempt("@999").find("not open") != std::string::npos);
  CHECK(attempt("@").find("invalid descriptor") != std::string::npos);
  CHECK(attempt("@1x").find("invalid descriptor") != std::string::npos);
  CHECK(attempt("@-1").find("invalid descriptor") != std::string::npos);
  CHECK(attempt("@1").find("above 2") != std::string::npos);
  CHECK(attempt("nonexistent0").find("no interface 'nonexistent0'") != std::string::npos);
  CHECK(attempt("averyverylonginterfacename").find("too long") != std::string::npos);
  const File null = *File::open("/dev/null", O_RDWR);
  CHECK(attempt("@" + std::to_string(null.get())).find("neither a tap nor") != std::string::npos);
}
