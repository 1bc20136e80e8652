// SPDX-License-Identifier: ISC
// TCP: the shell around the core. It finds the connection of a segment, keeps its queues, completes waiters, and sends
// what the core says. Read RFC 9293; also RFC 5961 (blind attacks), 4987 (SYN floods), 6528 (ISN),
// 6056 (ports), 7323 (timestamps), 6191 (TIME-WAIT), 1122 4.2.
//
// A stack calls input() for each packet, on_error() for ICMP errors, and flush() once per turn after the run queue is
// drained and before its device's send. Timers are armed on the shard's wheel: one for each connection, re-armed only
// when it has fired or a nearer deadline appears. Input never resumes a coroutine.
//
// Whatever looks at a connection's TCB or queues calls unpack() first. flush() packs those that have been idle longest
// when more than `working_connections` are not packed.
//
#pragma once

#include <mirage/async/shard.hpp>
#include <mirage/module/port_share.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/net/tcp/connection.hpp>
#include <mirage/net/tcp/counters.hpp>
#include <mirage/net/tcp/flow.hpp>
#include <mirage/net/tcp/ip_port.hpp>
#include <mirage/net/tcp/listener.hpp>
#include <mirage/net/tcp/packet.hpp>
#include <mirage/net/tcp/table.hpp>
#include <mirage/net/tcp/user.hpp>

namespace mirage::net::tcp {

/// Bounds; at each one TCP refuses or sheds, and counts.
struct TcpOptions {
  std::uint32_t maximum_connections = 0;    ///< 0: one for each 512 bytes that the buffer pool may have
  std::uint32_t working_connections = 640;  ///< of 3.7 KiB; beyond, idle ones are packed
  std::uint32_t maximum_time_wait = 4096;
  std::uint32_t maximum_listeners = 64;
  std::uint32_t receive_window = 256 * 1024;       ///< bytes for each connection; it may pin twice that
  std::uint32_t largest_receive_window = 4 << 20;  ///< to which it grows; an eighth of the buffer pool at most
  std::uint32_t send_buffer = 256 * 1024;          ///< bytes for each connection
  std::uint32_t largest_send_buffer = 4 << 20;     ///< to which it grows; an eighth of what is left at most
  std::uint32_t maximum_slices = 65536;            ///< in all queues together
  std::uint32_t challenges_per_second = 1000;  ///< RFC 5961 section 7: between half and three halves of it, drawn anew
  Algorithm congestion = Algorithm::cubic;
  bool offer_ecn = false;                 ///< RFC 3168, when opening; peers that ask for it always get it
  bool fast_open = false;                 ///< RFC 7413: take text with SYNs, and send it where connect() is given some
  std::uint32_t pending_fast_opens = 64;  ///< taken, and not yet acknowledged: RFC 7413 section 5.1
};

class Tcp {
 public:
  using Flow = tcp::Flow;
  using Listener = tcp::Listener;

  /// `ip` must outlive it.
  template <IpLayer Ip>
  Tcp(Shard& shard, Ip& ip, const TcpOptions& options = {}) noexcept : Tcp(shard, IpPort{ip}, options) {}
  Tcp(Shard& shard, IpPort ip, const TcpOptions& options) noexcept;
  Tcp(const Tcp&) = delete;
  Tcp& operator=(const Tcp&) = delete;
  /// Precondition: every Flow and Listener is gone.
  ~Tcp();

  /// Draws its secrets. Precondition: shard.seed_random() succeeded. `share`: of the ephemeral ports. `shared_secret`:
  /// of all shards of the interface; Fast Open's cookies are good at each of them then.
  void start(PortShare share = {}, std::string_view shared_secret = {}) noexcept;

  // For the stack
  /// Takes the payload of `packet`.
  void input(IpPacket& packet) noexcept;
  /// False for an error about nothing that is on its way.
  bool on_error(const TransportError& error) noexcept;
  void flush() noexcept;

  // For the application
  /// Port 0 is refused as denied.
  [[nodiscard]] Result<Listener, ListenError> listen(Port port, const ListenOptions& options = {}) noexcept;
  [[nodiscard]] bool listens(const IpAddress& local, Port port) noexcept {
    return find_listener(local, port) != nullptr;
  }
  /// Opens a connection from an ephemeral port. Cancelling the wait gives it up.
  [[nodiscard]] ConnectAwaiter connect(const Endpoint& remote) noexcept { return ConnectAwaiter{open(remote)}; }
  /// The same; `early` is written first, and goes with the SYN where options allow it and the server has given us a
  /// cookie before (RFC 7413). A server may then see it twice (section 2.1): only for what does no harm so.
  [[nodiscard]] ConnectAwaiter connect(const Endpoint& remote, Bytes early) noexcept {
    return ConnectAwaiter{open(remote, early)};
  }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::uint32_t connections() const noexcept { return table_.size(); }
  /// Of those (and of those that are over and still held), how many are not packed.
  [[nodiscard]] std::uint32_t working() const noexcept { return works_.used(); }
  /// Slices in queues: 0 when nothing is held.
  [[nodiscard]] std::uint32_t slices() const noexcept { return nodes_.used(); }
  /// Calls `visitor(Tcb&)` for every connection: to export, to inspect. Of a packed one it sees a copy.
  template <class Visitor>
  void each_tcb(Visitor&& visitor) {
    table_.each([&](Connection& connection) {
      Tcb copy = connection.is_packed() ? tcp::unpack(connection.packed, connection.local, connection.remote) : Tcb{};
      visitor(connection.is_packed() ? copy : connection.tcb());
    });
  }

 private:
  friend class tcp::Flow;
  friend class tcp::Listener;
  friend class ReadAwaiter;
  friend class WriteAwaiter;
  friend class ConnectAwaiter;
  friend class AcceptAwaiter;

  // Opening (open.cpp)
  [[nodiscard]] Result<Connection*, FlowError> open(const Endpoint& remote, Bytes early = {}) noexcept;
  void arrive_at_listener(const Incoming& incoming, const Endpoint& local, const Endpoint& remote,
                          std::optional<Sequence> beyond, IpPacket& packet) noexcept;
  void ask_fast_open(Tcb& tcb, std::size_t early) noexcept;
  [[nodiscard]] bool answer_fast_open(Tcb& tcb, const Segment& syn) noexcept;
  void take_early(Connection& connection, const Incoming& incoming, IpPacket& packet) noexcept;
  void end_early(Connection& connection) noexcept;
  void note_fast_open(const Tcb& tcb, const Segment& answer) noexcept;
  void pause_fast_open(const IpAddress& server) noexcept;
  [[nodiscard]] bool attach(ListenEntry& entry, const Tcb& tcb, const Path& path) noexcept;
  void send_cookie(ListenEntry& entry, const Segment& syn, const OpenParameters& parameters, const Path& path) noexcept;
  [[nodiscard]] bool redeem_cookie(const Incoming& incoming, const Endpoint& local, const Endpoint& remote,
                                   IpPacket& packet) noexcept;
  [[nodiscard]] Connection* create(const Tcb& tcb, const Path& path) noexcept;
  [[nodiscard]] bool admit() noexcept;
  [[nodiscard]] std::uint32_t largest_space() const noexcept;
  [[nodiscard]] OpenParameters parameters(const Endpoint& local, const Endpoint& remote, const Path& path) noexcept;
  [[nodiscard]] Port choose_port(const IpAddress& local, const Endpoint& remote) noexcept;
  [[nodiscard]] ListenEntry* find_listener(const IpAddress& local, Port port) noexcept;
  void offer(Connection& connection) noexcept;
  void close_listener(ListenEntry& entry) noexcept;

  // Events (tcp.cpp)
  void count_error(PacketError error) noexcept;
  void arrive(Connection& connection, const Incoming& incoming, IpPacket& packet) noexcept;
  [[nodiscard]] bool make_room(Connection& connection, const Segment& segment, const SliceList& payload) noexcept;
  void apply(Connection& connection, const Actions& actions, SliceList&& payload) noexcept;
  void take_payload(Connection& connection, const Actions& actions, SliceList&& payload) noexcept;
  void challenge(Connection& connection) noexcept;
  void expired(Connection& connection) noexcept;
  void enter_time_wait(Connection& connection) noexcept;
  void terminate(Connection& connection, std::optional<FlowError> error) noexcept;
  void let_go(Connection& connection) noexcept;
  [[nodiscard]] bool unpack(Connection& connection) noexcept;
  void rest(Connection& connection) noexcept;
  void shed_stored() noexcept;
  void note_lent(Connection& connection) noexcept;
  [[nodiscard]] bool settle_lent() noexcept;
  [[nodiscard]] bool overdraws(const Connection& connection) const noexcept;
  void pack_idle() noexcept;
  [[nodiscard]] Connection* find_for_error(const TransportError& error) noexcept;

  // The application's calls (tcp_user.cpp)
  [[nodiscard]] Result<SliceList, FlowError> read(Connection& connection) noexcept;
  [[nodiscard]] std::uint32_t room(const Connection& connection) const noexcept;
  [[nodiscard]] bool take(Connection& connection, SliceList& slices, Bytes& bytes) noexcept;
  void shutdown(Connection& connection) noexcept;
  void close(Connection& connection) noexcept;
  void abort(Connection& connection) noexcept;
  void touch(Connection& connection) noexcept { dirty_.push_back(connection); }

  // Sending (output.cpp)
  enum class Sent : std::uint8_t { all, no_memory, no_room };
  [[nodiscard]] Sent transmit(Connection& connection) noexcept;
  [[nodiscard]] Sent send(const Departure& departure, const Endpoint& local, const Endpoint& remote, const Path& path,
                          Connection* connection) noexcept;
  [[nodiscard]] bool attach_payload(Connection& connection, const Departure& departure, TransmitFrame& frame) noexcept;
  [[nodiscard]] bool copy_payload(Connection& connection, std::uint32_t offset, std::uint32_t length,
                                  SliceList& out) noexcept;
  void send_reply(const Departure& departure, const Endpoint& local, const Endpoint& remote, const Path& path) noexcept;
  void reject(const Incoming& incoming, const Endpoint& local, const Endpoint& remote) noexcept;
  [[nodiscard]] std::uint32_t receive_space(const Connection& connection) const noexcept;
  void arm(Connection& connection) noexcept;

  struct RetryTimer : Timer {
    RetryTimer() noexcept : Timer([](Timer&) noexcept {}) {}  // a turn is all that is needed: flush() goes on
  };

  Shard& shard_;
  IpPort ip_;
  TcpOptions options_;
  NodePool nodes_;
  WorkPool works_;
  ConnectionTable table_;
  List<Connection, DirtyTag> dirty_;
  std::uint64_t interfaces_ = 0;        ///< a bit for each that has ever had a connection
  List<Connection, DirtyTag> idle_;     ///< quiet and not packed; the front has been so longest
  List<Connection, DirtyTag> starved_;  ///< whose windows are to open when the pool is no longer low
  List<Work, StoredTag> stored_;        ///< with text beyond a hole; perhaps no longer
  List<Work, LentTag> lent_;            ///< whose applications keep what they have read
  std::size_t lent_bytes_ = 0;          ///< pinned by that
  List<Connection, PlaceTag> time_wait_;
  std::uint32_t time_wait_count_ = 0;
  List<ListenEntry> listeners_;
  std::uint32_t listener_count_ = 0;
  std::uint32_t connection_count_ = 0;
  SipKey key_{};
  SipKey fast_open_key_{};
  FastOpenCache fast_open_;
  std::uint32_t pending_fast_opens_ = 0;
  PortShare share_;
  std::array<std::uint16_t, 256> port_counters_{};
  std::uint32_t challenges_left_ = 0;
  Time challenges_until_{};
  RetryTimer retry_;
  Counters counters_;
};

static_assert(mirage::Tcp<Tcp>);

}  // namespace mirage::net::tcp
