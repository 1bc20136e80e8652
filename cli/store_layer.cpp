// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <format>

#include <fcntl.h>
#include <unistd.h>

#include <cli/store_layer.hpp>
#include <config/error.hpp>
#include <mirage/device/checksum/checksum.hpp>
#include <mirage/device/crypt/authenticated.hpp>
#include <mirage/device/crypt/crypt.hpp>
#include <mirage/device/partition/partition.hpp>

namespace mirage::cli {

namespace {

constexpr std::string_view usage =
    "From the disk to the store: partition=WHICH, checksum, crypt=KEYFILE, crypt_authenticated=KEYFILE.";
constexpr std::array<std::string_view, 4> names{"partition", "checksum", "crypt", "crypt_authenticated"};

LayerChoice parse_layer(const std::string& text) {
  const std::size_t end = text.find('=');
  const auto* const found = std::ranges::find(names, std::string_view{text}.substr(0, end));
  if (found == names.end())
    throw plan::UsageError("", std::format("there is no layer '{}'", text.substr(0, end)), std::string{usage});
  LayerChoice choice{.kind = static_cast<LayerKind>(found - names.begin()),
                     .argument = end == text.npos ? "" : text.substr(end + 1)};
  if (choice.kind == LayerKind::checksum && end != text.npos)
    throw plan::UsageError("", "the layer checksum takes nothing", std::string{usage});
  if (choice.kind != LayerKind::checksum && choice.argument.empty())
    throw plan::UsageError("", std::format("the layer {} lacks its argument", *found), std::string{usage});
  return choice;
}

/// The key as the disk that the layer reads it from; wiped with it.
class KeyDisk {
 public:
  explicit KeyDisk(const std::string& path) {
    const bool is_input = path == "-";
    const int descriptor = is_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const ssize_t size = descriptor < 0 ? -1 : fill(descriptor);
    const int error = errno;
    if (!is_input && descriptor >= 0) ::close(descriptor);
    const std::string place = is_input ? "standard input" : path;
    if (size < 0) throw plan::Error(place, std::format("the key cannot be read: {}", std::strerror(error)));
    if (static_cast<std::size_t>(size) < device::crypt::key_size)
      throw plan::Error(place, std::format("holds no key: {} bytes, 64 are needed", size),
                        "Make one: (umask 077; head -c 512 /dev/urandom > FILE)");
  }
  KeyDisk(const KeyDisk&) = delete;
  KeyDisk& operator=(const KeyDisk&) = delete;
  ~KeyDisk() { device::crypt::wipe(sector_); }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  DiskFile::Outcome read(std::uint64_t sector, MutableBytes bytes) noexcept {
    const BlockResult range = check_range(geometry_, sector, bytes.size());
    if (range) std::ranges::copy(Bytes{sector_}.first(bytes.size()), bytes.begin());
    return DiskFile::Outcome{range};
  }
  DiskFile::Outcome write(std::uint64_t, Bytes) noexcept { return DiskFile::Outcome{Failure{BlockError::read_only}}; }
  DiskFile::Outcome flush() noexcept { return DiskFile::Outcome{BlockResult{}}; }

 private:
  /// The key's bytes and no more: what follows on standard input is not ours. No buffer of stdio keeps a copy.
  ssize_t fill(int descriptor) noexcept {
    std::size_t size = 0;
    while (size < device::crypt::key_size) {
      const ssize_t count = ::read(descriptor, sector_.data() + size, device::crypt::key_size - size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return -1;
      if (count == 0) break;
      size += static_cast<std::size_t>(count);
    }
    return static_cast<ssize_t>(size);
  }
  std::array<std::byte, 512> sector_{};
  BlockGeometry geometry_{.sectors = 1, .read_only = true};
};

class BlankDisk {
 public:
  explicit BlankDisk(const BlockGeometry& geometry) noexcept : geometry_(geometry) {}
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  DiskFile::Outcome read(std::uint64_t sector, MutableBytes bytes) noexcept {
    std::ranges::fill(bytes, std::byte{});
    return DiskFile::Outcome{check_range(geometry_, sector, bytes.size())};
  }
  DiskFile::Outcome write(std::uint64_t sector, Bytes bytes) noexcept {
    return DiskFile::Outcome{check_range(geometry_, sector, bytes.size())};
  }
  DiskFile::Outcome flush() noexcept { return DiskFile::Outcome{BlockResult{}}; }

 private:
  BlockGeometry geometry_;
};

/// One with nothing below it.
template <class Disk>
class BottomLayer final : public Layer {
 public:
  template <class... A>
  explicit BottomLayer(Shard& shard, const A&... arguments) : disk_(arguments...), port_(shard, disk_) {}
  [[nodiscard]] BlockPort& port() noexcept override { return port_; }
  Task<Result<void, StartError>> start() override { return started(port_.shard()); }
  [[nodiscard]] int take_failure() noexcept override {
    if constexpr (requires { disk_.take_failure(); }) return disk_.take_failure();
    return 0;
  }

 private:
  static Task<Result<void, StartError>> started(Shard&) { co_return Result<void, StartError>{}; }
  Disk disk_;
  BlockPortOf<Disk> port_;
};

/// `Argument` is what the device refers to: made first, gone last.
template <class Device, class Argument, bool is_verified>
class LayerOf final : public Layer {
 public:
  template <class... A>
  LayerOf(Shard& shard, std::unique_ptr<Layer> under, const std::string& argument, const A&... options)
      : Layer(std::move(under)),
        argument_(argument),
        device_(shard, below().port(), argument_, options...),
        port_(shard, device_) {}
  [[nodiscard]] BlockPort& port() noexcept override { return port_; }
  Task<Result<void, StartError>> start() override { return device_.start(); }
  [[nodiscard]] bool verifies() const noexcept override { return is_verified || Layer::verifies(); }

 private:
  Argument argument_;
  Device device_;
  BlockPortOf<Device> port_;
};

/// Takes an argument as the others do.
struct Checksum final : device::Checksum<BlockPort> {
  Checksum(Shard& shard, BlockPort& disk, const std::string&, const Options& options) noexcept
      : device::Checksum<BlockPort>(shard, disk, options) {}
};
using Crypt = device::Crypt<BlockPort, KeyDisk>;
using CryptAuthenticated = device::CryptAuthenticated<BlockPort, KeyDisk>;

}  // namespace

std::string_view to_string(LayerKind kind) noexcept { return names[static_cast<std::size_t>(kind)]; }

std::vector<LayerChoice> parse_layers(const std::vector<std::string>& texts) {
  std::vector<LayerChoice> choices;
  for (const std::string& text : texts) choices.push_back(parse_layer(text));
  if (std::ranges::count_if(choices, &LayerChoice::reads_input) > 1)
    throw plan::UsageError("", "standard input can hold one key only");
  return choices;
}

std::unique_ptr<Layer> bottom_layer(Shard& shard, const std::string& path, DiskFile::Mode mode) {
  return std::make_unique<BottomLayer<DiskFile>>(shard, path, mode);
}

std::unique_ptr<Layer> blank_layer(Shard& shard, const BlockGeometry& geometry) {
  return std::make_unique<BottomLayer<BlankDisk>>(shard, geometry);
}

std::unique_ptr<Layer> make_layer(Shard& shard, std::unique_ptr<Layer> below, const LayerChoice& choice, bool create) {
  const std::string& argument = choice.argument;
  switch (choice.kind) {
    case LayerKind::partition:
      return std::make_unique<LayerOf<device::Partition<BlockPort>, std::string, false>>(shard, std::move(below),
                                                                                         argument);
    case LayerKind::checksum:
      return std::make_unique<LayerOf<Checksum, std::string, true>>(shard, std::move(below), argument,
                                                                    Checksum::Options{.create = create});
    case LayerKind::crypt:
      return std::make_unique<LayerOf<Crypt, KeyDisk, false>>(shard, std::move(below), argument,
                                                              Crypt::Options{.create = create});
    case LayerKind::crypt_authenticated:
      return std::make_unique<LayerOf<CryptAuthenticated, KeyDisk, true>>(
          shard, std::move(below), argument, CryptAuthenticated::Options{.create = create});
  }
  return below;
}

std::optional<LayerHint> recognise_layer(Bytes head) noexcept {
  using device::tagged::Finding;
  if (head.size() < device::tagged::block_size) return std::nullopt;
  const Bytes block = head.first(device::tagged::block_size);
  const auto is_known = [](Finding finding) { return finding != Finding::foreign && finding != Finding::blank; };
  if (is_known(device::crypt::decode(block).finding)) {
    if (device::crypt::header_of(block).kind == device::crypt::Kind::authenticated)
      return LayerHint{"the image is an encrypted disk", "--layer crypt_authenticated=KEYFILE opens it."};
    return LayerHint{"the image is an encrypted disk", "--layer crypt=KEYFILE opens it."};
  }
  if (is_known(device::checksum::Scheme{}.decode(block).finding))
    return LayerHint{"the image is a disk with checksums", "--layer checksum opens it."};
  if (device::tagged::is_begun(block))
    return LayerHint{"the image is an encrypted disk that was not made to its end",
                     "mirage store format makes it anew."};
  if (device::parse_mbr(block.first(512)))
    return LayerHint{"the image is a disk with partitions", "--layer partition=NUMBER says which one, or its GPT name.",
                     false};
  return std::nullopt;
}

}  // namespace mirage::cli
