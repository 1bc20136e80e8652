// SPDX-License-Identifier: ISC
// What may lie between an image's file and its store, for `mirage store --layer`: the devices of mirage/device that are
// blocks on blocks, by the names that they have in config.cpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <cli/store_disk.hpp>
#include <mirage/module/block_port.hpp>

namespace mirage::cli {

enum class LayerKind : std::uint8_t { partition, checksum, crypt, crypt_authenticated };

/// One that the user asked for.
struct LayerChoice {
  LayerKind kind = LayerKind::partition;
  std::string argument;  ///< the partition's number or name; the file with the key, "-" for standard input
  [[nodiscard]] bool reads_input() const noexcept { return argument == "-" && kind >= LayerKind::crypt; }
};

/// NAME or NAME=ARGUMENT each. Throws plan::UsageError.
[[nodiscard]] std::vector<LayerChoice> parse_layers(const std::vector<std::string>& texts);
[[nodiscard]] std::string_view to_string(LayerKind kind) noexcept;

/// A device with all that is below it.
class Layer {
 public:
  explicit Layer(std::unique_ptr<Layer> below = {}) noexcept : below_(std::move(below)) {}
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  virtual ~Layer() = default;
  [[nodiscard]] virtual BlockPort& port() noexcept = 0;
  virtual Task<Result<void, StartError>> start() = 0;
  /// Whether this one, or one below it, finds damage by checksums or tags.
  [[nodiscard]] virtual bool verifies() const noexcept { return below_ != nullptr && below_->verifies(); }
  /// What the host said of the file, see DiskFile.
  [[nodiscard]] virtual int take_failure() noexcept { return below_ == nullptr ? 0 : below_->take_failure(); }

 protected:
  [[nodiscard]] Layer& below() noexcept { return *below_; }

 private:
  std::unique_ptr<Layer> below_;
};

/// The file itself. Throws plan::Error.
[[nodiscard]] std::unique_ptr<Layer> bottom_layer(Shard& shard, const std::string& path, DiskFile::Mode mode);
/// Zeros, whatever is written.
[[nodiscard]] std::unique_ptr<Layer> blank_layer(Shard& shard, const BlockGeometry& geometry);
/// `create`: a blank disk becomes one of these in start(). Throws plan::Error when the key cannot be read.
[[nodiscard]] std::unique_ptr<Layer> make_layer(Shard& shard, std::unique_ptr<Layer> below, const LayerChoice& choice,
                                                bool create);

/// What an image that begins like this has in place of a store: a name for it, and how it is opened.
struct LayerHint {
  std::string_view what;
  std::string_view mend;
  /// It is this, whatever else it looks like: a store within may begin where one of its own would have a copy.
  bool certain = true;
};
[[nodiscard]] std::optional<LayerHint> recognise_layer(Bytes head) noexcept;

}  // namespace mirage::cli
