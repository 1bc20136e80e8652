// SPDX-License-Identifier: ISC
// virtio network device, VIRTIO 1.2 section 5.1: mergeable receive buffers, event index, checksum and segmentation
// offloads as capabilities: TCP both ways (large received frames are what the host coalesced), UDP to send; several
// queue pairs. Satisfies mirage::Net.
//
// One shard on one processor drives all pairs: they are for a host that serves each in a thread of its own (vhost).
// To the stack they are one queue. They share the memory that one pair would have, and a flow keeps to one of them.
//
// The control queue is asked for the number of pairs and for nothing else (promiscuous mode, VLAN filters). Coalesced
// UDP is not asked for: it would have to be taken apart again for datagram handlers.
#pragma once

#include <algorithm>
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
    std::uint64_t needs_reset = 0;     ///< 1: the device has given up
  };
  /// Frames of one pair.
  struct PairStatistics {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
  };
  enum class Error : std::uint8_t { none, refused, no_queue, no_memory, no_entropy };
  static constexpr std::uint16_t maximum_pairs = 4;

  NetDevice(BufferPool& buffers, Environment& environment) noexcept : buffers_(buffers), environment_(environment) {}
  NetDevice(const NetDevice&) = delete;
  NetDevice& operator=(const NetDevice&) = delete;

  /// Negotiates and starts the device; the transport must outlive this object. A device whose several pairs do not come
  /// about is used with one, one without an address (Firecracker's, unless told) gets a random one.
  [[nodiscard]] Error start(Transport& transport) noexcept;
  /// Resets the device: it touches no memory of ours afterwards.
  ~NetDevice();

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  /// All pairs together.
  [[nodiscard]] NetDevice& queue(std::size_t) noexcept { return *this; }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  // Of pairs below pair_count(): what was moved, what the rings refused of the device, how often it was notified.
  [[nodiscard]] std::uint16_t pair_count() const noexcept { return pair_count_; }
  [[nodiscard]] const PairStatistics& pair_statistics(std::size_t pair) const noexcept {
    return pairs_[pair].statistics;
  }
  [[nodiscard]] const Queue::Statistics& receive_ring(std::size_t pair = 0) const noexcept {
    return pairs_[pair].receive.statistics();
  }
  [[nodiscard]] const Queue::Statistics& transmit_ring(std::size_t pair = 0) const noexcept {
    return pairs_[pair].transmit.statistics();
  }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("virtio_net", counters_of(statistics_));
    for (const Pair& pair : pairs()) {
      visitor.counters("virtio_receive_ring", counters_of(pair.receive.statistics()));
      visitor.counters("virtio_transmit_ring", counters_of(pair.transmit.statistics()));
      if (pair_count_ > 1) visitor.counters("virtio_pair", counters_of(pair.statistics));
    }
  }
  [[nodiscard]] bool broken() const noexcept {
    return std::ranges::any_of(pairs(),
                               [](const Pair& pair) { return pair.receive.broken() || pair.transmit.broken(); });
  }

  /// Asks the device whether it has given up (DEVICE_NEEDS_RESET, section 2.1). True once, when it has; nothing is sent
  /// or received from then on.
  [[nodiscard]] bool needs_reset() noexcept;

  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;

  /// Before the machine sleeps: asks for interrupts. True when there is work already.
  [[nodiscard]] bool arm() noexcept;
  /// After it woke.
  void disarm() noexcept;

 private:
  static constexpr std::uint16_t maximum_receive = 256;  // of all pairs together, as what follows
  static constexpr std::uint16_t maximum_transmit = 64;
  static constexpr std::uint16_t no_slot = 0xffff;

  struct TransmitSlot {
    TransmitFrame frame;
    std::uint16_t next_free = no_slot;
    std::array<std::byte, VnetHeader::size> header{};  ///< used when the frame has no headroom for it
  };
  /// Section 5.1.2. Tokens of the receive queue are places in `slots`, those of the transmit queue in transmit_slots_.
  struct Pair {
    Queue receive;
    Queue transmit;
    std::unique_ptr<MutableSlice[]> slots;
    std::unique_ptr<std::uint16_t[]> empty;  ///< receive slots without a buffer
    std::uint16_t empty_count = 0;
    // A frame whose buffers have not all arrived.
    std::uint16_t partial_left = 0;
    bool partial_dropped = false;
    ReceivedFrame partial;
    std::array<std::byte, VnetHeader::size> partial_header{};
    MutableSlice partial_tail;  ///< what does not fit into the list of slices is copied together
    PairStatistics statistics;
  };
  /// The control queue and its one request, struct virtio_net_ctrl of section 5.1.6.5 for
  /// VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET; in three descriptors, as legacy devices want it.
  struct Control {
    static constexpr std::uint16_t queue_size = 4;
    Queue queue;
    std::array<std::byte, 2> header{std::byte{4}, std::byte{0}};
    std::array<std::byte, 2> pairs{};
    std::byte acknowledgement{0xff};
  };
  enum class Outcome : std::uint8_t { sent, dropped, full };

  // net_start.cpp
  [[nodiscard]] Error start_with(std::uint64_t further_features) noexcept;
  void stop() noexcept;
  [[nodiscard]] Negotiated negotiate_features(std::uint64_t further) noexcept;
  /// False: it has no address, and there is no entropy for one.
  [[nodiscard]] bool describe(const Negotiated& negotiated) noexcept;
  [[nodiscard]] std::size_t affordable() const noexcept;
  [[nodiscard]] std::uint16_t wanted_pairs(std::uint16_t offered) const noexcept;
  [[nodiscard]] bool start_queues(const Negotiated& negotiated) noexcept;
  [[nodiscard]] bool allocate_slots() noexcept;
  [[nodiscard]] bool allocate_slots(Pair& pair) noexcept;
  [[nodiscard]] bool start_control(const Negotiated& negotiated, std::uint16_t offered) noexcept;
  [[nodiscard]] bool set_pairs() noexcept;

  [[nodiscard]] std::span<Pair> pairs() noexcept { return {pairs_.get(), pair_count_}; }
  [[nodiscard]] std::span<const Pair> pairs() const noexcept { return {pairs_.get(), pair_count_}; }
  void refill(Pair& pair) noexcept;
  [[nodiscard]] bool give_buffer(Pair& pair, std::uint16_t slot) noexcept;
  [[nodiscard]] std::size_t poll(Pair& pair, std::span<ReceivedFrame> frames) noexcept;
  [[nodiscard]] bool receive(Pair& pair, const Completion& completion, ReceivedFrame& frame) noexcept;
  [[nodiscard]] bool begin_frame(Pair& pair, Slice first) noexcept;
  void continue_frame(Pair& pair, Slice data) noexcept;
  [[nodiscard]] bool negotiated(const Offload& offload) const noexcept;
  [[nodiscard]] bool finish_frame(Pair& pair, ReceivedFrame& frame) noexcept;
  [[nodiscard]] Pair& pair_for(const TransmitFrame& frame) noexcept;
  [[nodiscard]] Outcome transmit(Pair& pair, TransmitFrame& frame) noexcept;
  [[nodiscard]] std::size_t gather(TransmitSlot& slot, std::span<Segment> segments) noexcept;
  void reclaim() noexcept;

  BufferPool& buffers_;
  Environment& environment_;
  Transport* transport_ = nullptr;
  NetCapabilities capabilities_;
  std::unique_ptr<Pair[]> pairs_;
  std::uint16_t pair_count_ = 0;
  std::uint16_t first_pair_ = 0;  ///< that the next poll() begins with
  bool merge_ = false;
  bool coalesce_tcp4_ = false;
  bool coalesce_tcp6_ = false;
  bool split_header_ = false;  ///< legacy without ANY_LAYOUT: the header stands in a descriptor of its own
  bool transmit_blocked_ = false;
  std::uint16_t first_transmit_ = no_slot;
  std::size_t header_size_ = VnetHeader::size;
  std::unique_ptr<TransmitSlot[]> transmit_slots_;
  std::unique_ptr<Control> control_;  ///< with several pairs
  Statistics statistics_;
};

static_assert(mirage::Net<NetDevice>);

}  // namespace mirage::virtio
