// SPDX-License-Identifier: ISC
// Module type Net: a network interface that moves Ethernet frames in bursts.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/module/port_share.hpp>

namespace mirage {

/// What a segment-sized frame asks its device to do; the meaning of the fields is that of struct virtio_net_hdr
/// (VIRTIO 1.2 section 5.1.6). On receive every field is checked against the frame before anyone relies on it.
struct Offload {
  enum class Segmentation : std::uint8_t { none, tcp4, tcp6, udp };
  /// Transmit: the checksum at start + offset holds only the pseudo-header sum. Receive: likewise not filled in.
  bool needs_checksum = false;
  /// Receive only: the device or its peer has verified the checksum.
  bool checksum_valid = false;
  Segmentation segmentation = Segmentation::none;
  std::uint16_t checksum_start = 0;   ///< from the first byte of the frame
  std::uint16_t checksum_offset = 0;  ///< from checksum_start
  std::uint16_t segment_size = 0;     ///< payload bytes per segment
  std::uint16_t header_length = 0;    ///< Ethernet + IP + TCP/UDP header bytes that each segment repeats
};

/// A frame to send: one header buffer (with headroom for the device's own header) and payload that is only referenced.
struct TransmitFrame {
  MutableSlice header;
  SliceList payload;
  Offload offload;
  [[nodiscard]] std::size_t byte_count() const noexcept { return header.size() + payload.byte_count(); }
};

/// A received frame: the slices of the buffers that the device filled; all headers are contiguous in the first.
struct ReceivedFrame {
  SliceList data;
  Offload offload;
};

/// Capabilities are data. What a device lacks, device/offload supplies.
struct NetCapabilities {
  MacAddress mac;
  std::uint16_t mtu = 1500;            ///< largest IP packet on the wire
  std::uint32_t maximum_frame = 1514;  ///< largest TransmitFrame, in bytes: above mtu + 14 with segmentation
  PortShare ports{};                   ///< how many shards share the interface, and which of them this one is
  bool gather = false;                 ///< sends payload slices without copying them
  bool transmit_checksum = false;      ///< honours Offload::needs_checksum
  bool receive_checksum = false;       ///< may deliver needs_checksum or checksum_valid frames
  bool segment_tcp4 = false;
  bool segment_tcp6 = false;
  bool segment_udp = false;
  bool coalesce = false;  ///< may deliver frames larger than the MTU
  /// Known to the shards that share the interface and to nobody else; empty when there is one.
  std::string_view shared_secret{};
};

inline constexpr std::size_t ethernet_header_size = 14;
/// Frames that are moved by one call of poll() or send() at most.
inline constexpr std::size_t maximum_burst = 64;

/// A queue pair. Neither call blocks.
/// poll(): fills frames from the front, returns how many; takes buffers from the shard's pool.
/// send(): takes frames from the front, returns how many it accepted (moved from); the rest stay with the caller,
/// who offers them again at the next flush. A frame that can never be sent (too large) is accepted, dropped, counted.
template <class Q>
concept NetQueue = requires(Q& queue, std::span<ReceivedFrame> received, std::span<TransmitFrame> to_send) {
  { queue.poll(received) } noexcept -> std::same_as<std::size_t>;
  { queue.send(to_send) } noexcept -> std::same_as<std::size_t>;
};

/// A network interface: data about itself, and its queues. capabilities() is valid after start().
template <class N>
concept Net = requires(N& net, const N& constant, std::size_t index) {
  { constant.capabilities() } noexcept -> std::same_as<const NetCapabilities&>;
  requires NetQueue<std::remove_reference_t<decltype(net.queue(index))>>;
};

/// A device of any type behind three function pointers: crossed once per burst, so the stack is no template over it.
/// Refers to the device, which must outlive it.
class NetPort {
 public:
  template <class N>
    requires(!std::same_as<N, NetPort> && Net<N>)  // else it would wrap itself instead of being copied
  explicit NetPort(N& net) noexcept
      : device_(&net),
        capabilities_([](const void* device) noexcept -> const NetCapabilities& {
          return static_cast<const N*>(device)->capabilities();
        }),
        poll_([](void* device, std::size_t queue, std::span<ReceivedFrame> frames) noexcept {
          return static_cast<N*>(device)->queue(queue).poll(frames);
        }),
        send_([](void* device, std::size_t queue, std::span<TransmitFrame> frames) noexcept {
          return static_cast<N*>(device)->queue(queue).send(frames);
        }) {}

  /// A port is itself a Net.
  class Queue {
   public:
    Queue(NetPort& port, std::size_t index) noexcept : port_(&port), index_(index) {}
    std::size_t poll(std::span<ReceivedFrame> frames) noexcept { return port_->poll_(port_->device_, index_, frames); }
    std::size_t send(std::span<TransmitFrame> frames) noexcept { return port_->send_(port_->device_, index_, frames); }

   private:
    NetPort* port_;
    std::size_t index_;
  };
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_(device_); }
  [[nodiscard]] Queue queue(std::size_t index) noexcept { return {*this, index}; }

 private:
  void* device_;
  const NetCapabilities& (*capabilities_)(const void*) noexcept;
  std::size_t (*poll_)(void*, std::size_t, std::span<ReceivedFrame>) noexcept;
  std::size_t (*send_)(void*, std::size_t, std::span<TransmitFrame>) noexcept;
};

}  // namespace mirage
