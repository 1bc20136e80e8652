// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/tcp.hpp>
#include <test/simulator/world.hpp>

namespace mirage::simulator {

namespace {

constexpr std::size_t ethernet_size = 14;

bool is_ipv4(const Frame& frame) noexcept {
  return frame.size() > ethernet_size + 20 && load_big<std::uint16_t>(frame, 12) == 0x0800;
}

void print(Time now, unsigned side, const Frame& frame, const char* fate) {
  std::printf("%12.6f %c ", static_cast<double>(now.time_since_epoch().count()) / 1e9, side == 0 ? '>' : '<');
  if (!is_ipv4(frame) || std::to_integer<int>(frame[ethernet_size + 9]) != ip_protocol::tcp) {
    std::printf("%zu bytes of type %04x%s\n", frame.size(), load_big<std::uint16_t>(frame, 12), fate);
    return;
  }
  const auto packet = Bytes(frame).subspan(ethernet_size);
  const std::size_t total = load_big<std::uint16_t>(packet, 2);
  const auto view = wire::TcpView::parse(packet.subspan(20, total - 20));
  if (!view) return;
  const wire::TcpHeader h = view->header();
  const auto flag = [&](std::uint8_t bit, char c) { return (h.flags & bit) != 0 ? c : '.'; };
  std::printf("%5u>%5u %c%c%c%c%c seq %u ack %u win %u len %zu sack %u%s\n", h.source_port, h.destination_port,
              flag(2, 'S'), flag(16, 'A'), flag(8, 'P'), flag(1, 'F'), flag(4, 'R'), h.sequence, h.acknowledgement,
              h.window, total - 20 - view->header_size(), view->options().sack_blocks, fate);
}

}  // namespace

void Cable::note(unsigned side, const Frame& frame) {
  std::uint64_t hash = mix(trace_ ^ static_cast<std::uint64_t>(clock_.now.time_since_epoch().count()) ^ side << 1);
  for (std::size_t at = 0; at < frame.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, frame.data() + at, std::min<std::size_t>(8, frame.size() - at));
    hash = (hash ^ word) * 0x9fb21c651e98df25;
    hash ^= hash >> 29;
  }
  trace_ = mix(hash ^ frame.size());
}

void Cable::fly(unsigned to, Frame frame, Time at) {
  flying_.emplace(std::pair{at, order_++}, Flight{to, std::move(frame)});
}

Time Cable::departure(unsigned side, std::size_t size, bool& lost) {
  if (faults_.bytes_per_second == 0) return clock_.now;
  const Duration each{static_cast<std::int64_t>(size * 1'000'000'000 / faults_.bytes_per_second)};
  const Time begin = std::max(free_at_[side], clock_.now);
  lost = begin - clock_.now > each * static_cast<std::int64_t>(faults_.queue);
  if (!lost) free_at_[side] = begin + each;
  return begin + each;
}

void Cable::send(unsigned side, Frame frame) {
  note(side, frame);
  bool lost = false;
  Time at = departure(side, frame.size(), lost) + faults_.delay;
  if (faults_.jitter > Duration{0})
    at += Duration{static_cast<std::int64_t>(random_.next() % static_cast<std::uint64_t>(faults_.jitter.count()))};
  lost |= random_.chance(faults_.loss);
  const bool duplicated = random_.chance(faults_.duplication);
  const bool corrupted = random_.chance(faults_.corruption) && is_ipv4(frame);
  if (random_.chance(faults_.reordering))
    at += faults_.delay + Duration{static_cast<std::int64_t>(random_.between(1'000, 20'000'000))};
  if (show_)
    print(clock_.now, side, frame, lost ? " lost" : corrupted ? " corrupted" : duplicated ? " duplicated" : "");
  if (lost) return;
  if (duplicated) fly(1 - side, frame, at + Duration{static_cast<std::int64_t>(random_.between(0, 30'000'000))});
  if (corrupted) {
    const std::size_t size = ethernet_size + load_big<std::uint16_t>(frame, ethernet_size + 2);
    const std::size_t place = random_.between(ethernet_size, std::min(size, frame.size()) - 1);
    frame[place] ^= static_cast<std::byte>(random_.between(1, 254));
  }
  fly(1 - side, std::move(frame), at);
}

void Cable::deliver() {
  while (!flying_.empty() && flying_.begin()->first.first <= clock_.now) {
    auto node = flying_.extract(flying_.begin());
    inbox_[node.mapped().to].push_back(std::move(node.mapped().frame));
  }
}

Device::Device(Cable& cable, unsigned side, std::size_t burst, std::uint16_t mtu) noexcept
    : cable_(cable), side_(side), burst_(burst) {
  capabilities_.mac = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(side + 1)}};
  capabilities_.mtu = mtu;
  capabilities_.maximum_frame = mtu + std::uint32_t{ethernet_size};
  capabilities_.gather = true;
}

/// A frame in buffers of the pool's small size, as a device with mergeable buffers leaves it; short for want of memory.
SliceList Device::take(const Frame& frame) noexcept {
  SliceList list;
  for (Bytes rest = frame; !rest.empty() && !list.full();) {
    const Bytes part = rest.first(std::min<std::size_t>(rest.size(), frame_capacity));
    MutableSlice slice = pool_->allocate(part.size(), 0);
    if (!slice) break;
    std::memcpy(slice.grow_back(static_cast<std::uint32_t>(part.size())).data(), part.data(), part.size());
    (void)list.push_back(std::move(slice).freeze());
    rest = rest.subspan(part.size());
  }
  return list;
}

std::size_t Device::poll(std::span<ReceivedFrame> frames) noexcept {
  auto& inbox = cable_.inbox(side_);
  std::size_t count = 0;
  while (count < std::min(frames.size(), burst_) && !inbox.empty()) {
    const Frame frame = std::move(inbox.front());
    inbox.pop_front();
    frames[count].data = take(frame);
    if (frames[count].data.byte_count() == frame.size()) {
      ++count;
    } else {
      frames[count].data.clear();
      ++dropped;
    }
  }
  return count;
}

std::size_t Device::send(std::span<TransmitFrame> frames) noexcept {
  for (TransmitFrame& frame : frames) {
    Frame bytes;
    bytes.reserve(frame.byte_count());
    bytes.insert(bytes.end(), frame.header.bytes().begin(), frame.header.bytes().end());
    for (const Slice& slice : frame.payload) bytes.insert(bytes.end(), slice.bytes().begin(), slice.bytes().end());
    const TransmitFrame gone = std::move(frame);
    cable_.send(side_, std::move(bytes));
  }
  return frames.size();
}

namespace {
NetPort port(Device& device, device::Offload& offload, const NodeOptions& options) noexcept {
  offload.adopt_capabilities();
  return options.offload ? NetPort{offload} : NetPort{device};
}

net::StackOptions stack_options(unsigned side, const NodeOptions& options) {
  net::StackOptions stack;
  stack.ipv4 = {Node::address(side).v4(), 24};
  stack.tcp = options.tcp;
  return stack;
}
}  // namespace

Node::Node(Clock& clock, Cable& cable, unsigned side, std::uint64_t seed, const NodeOptions& options)
    : environment(clock, mix(seed + side)),
      shard(environment, options.shard),
      device(cable, side, options.burst, options.mtu),
      offload(shard, device),
      stack(shard, port(device, offload, options), stack_options(side, options)),
      scope(shard) {
  device.attach(shard.buffers());
}

std::string Node::leak() {
  const auto part = [](const char* what, std::size_t count) {
    return count == 0 ? std::string{} : std::string{what} + " " + std::to_string(count) + "; ";
  };
  return part("buffer bytes", shard.buffers().statistics().bytes_in_use) +
         part("coroutine frames", shard.frames().statistics().frames) + part("connections", stack.tcp().connections()) +
         part("slices", stack.tcp().slices()) + part("tasks", scope.running());
}

World::World(std::uint64_t seed, const Faults& faults, const NodeOptions& first, const NodeOptions& second)
    : cable(clock, faults, seed), a(clock, cable, 0, seed, first), b(clock, cable, 1, seed, second) {}

void World::step() {
  bool busy = false;
  for (Node* node : {&a, &b}) {
    busy |= node->shard.turn();
    busy |= node->device.pending();
  }
  ++events;
  if (busy) return;
  const Time next = std::min({cable.next(), a.shard.next_deadline(), b.shard.next_deadline()});
  if (next == never) {
    clock.now += 1s;  // nothing will ever happen by itself: let the limit be reached
  } else {
    clock.now = std::max(clock.now, next);
  }
  cable.deliver();
}

}  // namespace mirage::simulator
