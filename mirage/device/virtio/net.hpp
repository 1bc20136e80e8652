// SPDX-License-Identifier: ISC
// virtio network device, VIRTIO 1.2 section 5.1: one queue pair, mergeable receive buffers, event index, checksum and
// segmentation offloads as capabilities: TCP both ways (large received frames are what the host coalesced), UDP to
// send. Satisfies mirage::Net.
//
// Deliberately without the control queue (promiscuous mode, VLAN filters, multiple queue pairs): an image is one shard
// on one processor, so a device that offers several pairs is used with one. Coalesced UDP is not asked for: it would
// have to be taken apart again for datagram handlers.
#pragma once

#include <array>
#include <memory>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/device/virtio/queue.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/vnet_header.hpp>

namespace mirage::virtio {

class NetDevice {
 public:
  struct Statistics {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t no_buffer = 0;       ///< receive buffers that could not be refilled: the pool was exhausted
    std::uint64_t short_frame = 0;     ///< received less than a header
    std::uint64_t bad_merge = 0;       ///< received in more buffers than a frame may have
    std::uint64_t bad_offload = 0;     ///< received with an offload header that does not fit the frame
    std::uint64_t not_negotiated = 0;  ///< received with an offload that the device was not allowed to use
    std::uint64_t bad_frame = 0;       ///< to send: too large, empty, or in too many pieces
  };
  enum class Error : std::uint8_t { none, refused, no_queue, no_memory };

  explicit NetDevice(BufferPool& buffers) noexcept : buffers_(buffers) {}
  NetDevice(const NetDevice&) = delete;
  NetDevice& operator=(const NetDevice&) = delete;

  /// Negotiates and starts the device; the transport must outlive this object.
  [[nodiscard]] Error start(Transport& transport) noexcept;
  /// Resets the device: it touches no memory of ours afterwards.
  ~NetDevice();

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] NetDevice& queue(std::size_t) noexcept { return *this; }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  /// What the rings refused of the device, and how often it was notified.
  [[nodiscard]] const Queue::Statistics& receive_ring() const noexcept { return receive_.statistics(); }
  [[nodiscard]] const Queue::Statistics& transmit_ring() const noexcept { return transmit_.statistics(); }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("virtio_net", counters_of(statistics_));
    visitor.counters("virtio_receive_ring", counters_of(receive_ring()));
    visitor.counters("virtio_transmit_ring", counters_of(transmit_ring()));
  }
  [[nodiscard]] bool broken() const noexcept { return receive_.broken() || transmit_.broken(); }

  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;

  /// Before the machine sleeps: asks for interrupts. True when there is work already.
  [[nodiscard]] bool arm() noexcept;
  /// After it woke.
  void disarm() noexcept;

 private:
  static constexpr std::uint16_t receive_queue = 0;
  static constexpr std::uint16_t transmit_queue = 1;
  static constexpr std::uint16_t maximum_receive = 256;
  static constexpr std::uint16_t maximum_transmit = 64;
  static constexpr std::uint16_t no_slot = 0xffff;

  struct TransmitSlot {
    TransmitFrame frame;
    std::uint16_t next_free = no_slot;
    std::array<std::byte, VnetHeader::size> header{};  ///< used when the frame has no headroom for it
  };
  enum class Outcome : std::uint8_t { sent, dropped, full };

  [[nodiscard]] Negotiated negotiate_features() noexcept;
  void describe(const Negotiated& negotiated) noexcept;
  [[nodiscard]] bool allocate_slots() noexcept;
  void refill() noexcept;
  [[nodiscard]] bool give_buffer(std::uint16_t slot) noexcept;
  [[nodiscard]] bool receive(const Completion& completion, ReceivedFrame& frame) noexcept;
  [[nodiscard]] bool begin_frame(Slice first) noexcept;
  void continue_frame(Slice data) noexcept;
  [[nodiscard]] bool negotiated(const Offload& offload) const noexcept;
  [[nodiscard]] bool finish_frame(ReceivedFrame& frame) noexcept;
  [[nodiscard]] Outcome transmit(TransmitFrame& frame) noexcept;
  [[nodiscard]] std::size_t gather(TransmitSlot& slot, std::span<Segment> segments) noexcept;
  void reclaim() noexcept;

  BufferPool& buffers_;
  Transport* transport_ = nullptr;
  NetCapabilities capabilities_;
  Queue receive_;
  Queue transmit_;
  std::size_t header_size_ = VnetHeader::size;
  bool merge_ = false;
  bool coalesce_tcp4_ = false;
  bool coalesce_tcp6_ = false;
  bool split_header_ = false;  ///< legacy without ANY_LAYOUT: the header stands in a descriptor of its own
  bool transmit_blocked_ = false;
  std::unique_ptr<MutableSlice[]> receive_slots_;
  std::unique_ptr<std::uint16_t[]> empty_slots_;  ///< receive slots without a buffer
  std::uint16_t empty_count_ = 0;
  std::uint16_t receive_limit_ = 0;
  std::unique_ptr<TransmitSlot[]> transmit_slots_;
  std::uint16_t first_transmit_ = no_slot;
  // A frame whose buffers have not all arrived.
  ReceivedFrame partial_;
  std::array<std::byte, VnetHeader::size> partial_header_{};
  MutableSlice partial_tail_;  ///< what does not fit into the list of slices is copied together
  std::uint16_t partial_left_ = 0;
  bool partial_dropped_ = false;
  Statistics statistics_;
};

static_assert(mirage::Net<NetDevice>);

}  // namespace mirage::virtio
