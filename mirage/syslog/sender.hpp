// SPDX-License-Identifier: ISC
// Sends what a Sink keeps: by UDP (RFC 5426), a datagram for each message, or over a TCP connection with octet counting
// (RFC 6587 3.4.1), which is opened again when it ends.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

#include <mirage/async/sleep.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/syslog/sink.hpp>

namespace mirage::syslog {

/// Where to send, and how.
struct Destination {
  Endpoint endpoint;
  bool by_tcp = false;
  /// "", "10.0.0.1", "10.0.0.1:514", "udp://..." or "tcp://..." (RFC 5426 3.3, RFC 6587 3.1: port 514). Nothing for
  /// anything else; an unspecified address for "".
  [[nodiscard]] static std::optional<Destination> parse(std::string_view text) noexcept;
};

inline constexpr Duration first_pause = 1s;  ///< before connecting again; doubled up to
inline constexpr Duration last_pause = 60s;
inline constexpr std::size_t batch = 4096;  ///< bytes that are written at once

/// Takes messages out while they fit into `out`, each behind its length and a space; how many bytes, and messages.
struct Batch {
  std::size_t bytes = 0;
  std::size_t messages = 0;
};
[[nodiscard]] Batch take_batch(MessageQueue& queue, std::span<char> out) noexcept;

template <mirage::Stack S>
class Sender {
 public:
  Sender(S& stack, Sink& sink, const Destination& destination) noexcept
      : stack_(stack), sink_(sink), destination_(destination) {}
  [[nodiscard]] Shard& shard() noexcept { return sink_.shard(); }

  /// Runs until it is cancelled, or there is no port or memory to send from.
  Task<bool> run() {
    if (destination_.by_tcp) co_return co_await run_tcp();
    co_return co_await run_udp();
  }

 private:
  /// Nobody answers syslog; what comes in is dropped.
  class Deaf final : public DatagramHandler {
   public:
    void on_burst(std::span<Datagram>) noexcept override {}
  };

  [[nodiscard]] Task<bool> wait_for_message() {
    while (sink_.queue().empty()) {
      if (co_await sink_.filled().wait() == WaitStatus::cancelled) co_return false;
    }
    co_return true;
  }

  Task<bool> run_udp() {
    Deaf deaf;
    const auto port = stack_.udp().bind(0, deaf);
    if (!port) co_return false;
    while (co_await wait_for_message()) {
      send_datagram(*port);
      co_await yield();  // one message for each round of the others: a flood of lines does not stop them
    }
    stack_.udp().unbind(*port);
    co_return true;
  }

  void send_datagram(Port port) noexcept {
    const std::size_t size = sink_.queue().front_size();
    MutableSlice bytes = shard().buffers().allocate_sparing(maximum_message);
    if (!bytes) {
      std::array<char, maximum_message> lost;
      sink_.queue().pop(lost);
      ++sink_.counters().drop_send;
      return;
    }
    const MutableBytes room = bytes.grow_back(static_cast<std::uint32_t>(size));
    sink_.queue().pop({reinterpret_cast<char*>(room.data()), room.size()});
    Datagram datagram;
    datagram.local.port = port;
    datagram.remote = destination_.endpoint;
    (void)datagram.payload.push_back(std::move(bytes).freeze());
    sink_.set_sending(true);
    ++(stack_.udp().send({&datagram, 1}) == 1 ? sink_.counters().sent : sink_.counters().drop_send);
    sink_.set_sending(false);
  }

  Task<bool> run_tcp() {
    const std::unique_ptr<char[]> memory{new (std::nothrow) char[batch]};
    if (!memory) co_return false;
    Duration pause = first_pause;
    while (co_await wait_for_message()) {
      auto flow = co_await stack_.tcp().connect(destination_.endpoint);
      if (flow) {
        ++sink_.counters().connections;
        pause = first_pause;
        if (!co_await feed(*flow, {memory.get(), batch})) co_return true;
      } else {
        ++sink_.counters().connection_failures;
      }
      if (co_await sleep(pause) == WaitStatus::cancelled) co_return true;
      pause = std::min(pause * 2, last_pause);
    }
    co_return true;
  }

  /// Writes until the connection ends; false when cancelled.
  Task<bool> feed(typename S::Tcp::Flow& flow, std::span<char> memory) {
    while (co_await wait_for_message()) {
      // A connection that ended while there was nothing to say would take the messages with it. What the server says is
      // dropped, so that its end is seen.
      if constexpr (ObservableFlow<typename S::Tcp::Flow>) {
        if (flow.readable_now()) {
          const auto said = co_await flow.read();
          if (!said) co_return said.error() != FlowError::cancelled;
          if (said->empty()) co_return true;
          continue;
        }
      }
      const Batch taken = take_batch(sink_.queue(), memory);
      const auto written = co_await flow.write(as_bytes({memory.data(), taken.bytes}));
      if (written) {
        sink_.counters().sent += taken.messages;
        continue;
      }
      sink_.counters().drop_send += taken.messages;
      co_return written.error() != FlowError::cancelled;
    }
    co_return false;
  }

  S& stack_;
  Sink& sink_;
  Destination destination_;
};

/// The job that config.cpp's syslog() makes: sends the lines of a RemoteLog to --syslog.
template <mirage::Stack S, class L>
struct Forwarder {
  template <class Keys>
  static Task<int> start(S& net, L& log, const Keys& keys) {
    const auto destination = Destination::parse(keys.syslog);
    if (!destination) {
      keys.shard.logger(own_source).error("bad destination '{}': [udp://|tcp://]ADDRESS[:PORT]", keys.syslog);
      co_return 2;
    }
    if (destination->endpoint.address.is_unspecified()) {  // not wanted
      log.sink().close();
      co_return 0;
    }
    const Text<64> host{"{}", net.address()};
    log.sink().set_host(host.view());
    Sender<S> sender{net, log.sink(), *destination};
    const bool ended_well = co_await sender.run();
    log.sink().close();
    log.sink().set_host({});
    co_return ended_well ? 0 : 1;
  }
};

}  // namespace mirage::syslog
