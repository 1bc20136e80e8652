// SPDX-License-Identifier: ISC
// One HTTP/2 connection (RFC 9113) without its flow: frames in, frames out, streams between them. nghttp2 does framing,
// HPACK, flow control and the checks of section 8; here are the bounds, the time limits, and what a handler sees.
//
// Everything that a peer can make us do without asking for anything has a price (Session::spend): resets
// (CVE-2023-44487 and those that it makes us send), SETTINGS, PING, empty DATA. Who cannot pay gets GOAWAY
// with ENHANCE_YOUR_CALM. A stream counts against maximum_streams until it has its answer or its handler has returned,
// also when it was reset; of those whose handlers are about to return behind an answer there may be as many again.
#pragma once

#include <new>

#include <mirage/async/sleep.hpp>
#include <mirage/http/body.hpp>
#include <mirage/http/connection.hpp>
#include <mirage/http/h2/head.hpp>

struct nghttp2_session;

namespace mirage::http::h2 {

struct Options {
  std::uint32_t maximum_streams = 100;                   ///< at once on a connection
  std::size_t maximum_memory = std::size_t{256} * 1024;  ///< bytes of the heap for nghttp2 on a connection
};

struct Counters {
  std::uint64_t connections = 0;
  std::uint64_t streams = 0;    ///< that asked for something
  std::uint64_t refused = 0;    ///< streams beyond maximum_streams
  std::uint64_t too_large = 0;  ///< header sections: 431
  std::uint64_t floods = 0;     ///< connections ended with ENHANCE_YOUR_CALM
  std::uint64_t resets = 0;     ///< streams that the peer gave up
  std::uint64_t timeouts = 0;   ///< streams and connections
};

/// RFC 9113 section 7, those that are said here.
enum class ErrorCode : std::uint32_t {
  no_error = 0,
  protocol_error = 1,
  internal_error = 2,
  refused_stream = 7,
  cancel = 8,
  enhance_your_calm = 11,
};

class Session;

/// One stream: a request's head and body, and the body of its response on the way out. Belongs to its session.
class Stream final : public Body, public ListNode<> {
 public:
  /// What a peer may send before the handler reads: the initial value of SETTINGS_INITIAL_WINDOW_SIZE, which a client
  /// that has not seen our SETTINGS goes by.
  static constexpr std::uint32_t window = 65535;
  /// Blocks of frame_capacity before a large one takes what the window allows beyond them.
  static constexpr std::size_t small_blocks = 8;
  static_assert(small_blocks + 2 < SliceList::capacity && large_capacity >= window);

  Stream(Session& session, std::int32_t id) noexcept : session_(session), id_(id) {}
  [[nodiscard]] Shard& shard() noexcept;
  [[nodiscard]] std::int32_t id() const noexcept { return id_; }

  /// Fills in the request; 0, or the status to answer instead.
  [[nodiscard]] std::uint16_t parse(Request& request) noexcept;
  Task<Result<SliceList, ReadError>> read() noexcept override;
  [[nodiscard]] FieldLines trailers() const noexcept override {
    return received_ ? FieldLines{as_text(trailers_.bytes())} : FieldLines{};
  }
  /// Says "100 Continue" if the peer waits for it; must come before the final response's head (RFC 9110 section 15.2).
  void welcome() noexcept;
  /// Neither side can send any more.
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  /// The peer has sent all of its message.
  [[nodiscard]] bool received() const noexcept { return received_; }

 private:
  friend class Session;
  friend struct Callbacks;
  [[nodiscard]] bool store(Bytes data) noexcept;
  [[nodiscard]] SliceList take() noexcept;
  /// Of the next DATA frame: few slices, so that they fit behind what is to be written already.
  [[nodiscard]] std::size_t sendable(std::size_t maximum) const noexcept;

  Session& session_;
  std::int32_t id_;
  Head head_;
  Head tail_;   // trailers
  Slice text_;  // of the head
  MutableSlice trailers_;
  SliceList full_;     // received and not read
  MutableSlice open_;  // the same, its end
  std::size_t unread_ = 0;
  std::uint64_t total_ = 0;
  WaitQueue readable_;
  SliceList out_;  // to be sent
  const HeaderBlock* after_ = nullptr;
  WaitQueue writable_;
  Time deadline_ = never;       // for sending
  Time read_deadline_ = never;  // both at once: a source may still read the body
  Duration patience_{};         // what is left of transfer_timeout while send() does not wait
  std::size_t taken_ = 0;       // bytes since that began
  bool begun_ = false;          // the header section is complete
  bool expects_continue_ = false;
  bool received_ = false;
  bool lost_ = false;      // some of what was received has not been kept: no end of it is the message's
  bool last_ = false;      // nothing follows out_
  bool sent_ = false;      // the end of the body has gone to the output
  bool answered_ = false;  // the end of the answer has
  bool closed_ = false;
};

/// What has the flow.
class SessionOwner {
 public:
  /// A stream's header section is complete; release() is due when it has been answered.
  virtual void on_request(Stream& stream) noexcept = 0;
  /// The peer takes nothing any more, or does not close: the flow is to be reset.
  virtual void on_stuck() noexcept = 0;

 protected:
  ~SessionOwner() = default;
};

class Session : private Timer {
 public:
  Session(Shard& shard, SessionOwner& owner, const ServerOptions& http, const Options& options, Counters& counters,
          Output& output) noexcept;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  /// Precondition: no stream is left.
  ~Session();
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const ServerOptions& options() const noexcept { return http_; }

  /// Queues our SETTINGS; false for want of memory.
  [[nodiscard]] bool start() noexcept;
  /// Takes what was received; false when nothing that follows makes sense.
  [[nodiscard]] bool receive(const Slice& slice) noexcept;
  /// Puts frames into the output while it has room; false for want of memory.
  [[nodiscard]] bool collect() noexcept;
  /// Nothing more is to be read or written.
  [[nodiscard]] bool over() const noexcept;
  /// Wakes the writer.
  [[nodiscard]] WaitQueue& work() noexcept { return work_; }
  /// While the flow takes what was collected; it has transfer_timeout for 64 KiB, in parts of whatever size.
  void writing(bool on) noexcept;
  /// GOAWAY; streams end.
  void terminate(ErrorCode code) noexcept;
  /// Our side is closed: the peer's end of the connection is waited for, not for long.
  void linger() noexcept;

  // For the answer of a stream.
  [[nodiscard]] bool respond(Stream& stream, const Response& response, const Delivery& delivery,
                             std::string_view date) noexcept;
  /// Sends a part of the body and waits until it is on its way. `last`: nothing follows but `trailers`, if any. False
  /// when the stream is closed.
  Task<Result<void, ReadError>> send(Stream& stream, SliceList part, bool last, const HeaderBlock* trailers) noexcept;
  void reset(Stream& stream, ErrorCode code) noexcept;
  /// The stream's handler has returned: the stream goes.
  void release(Stream& stream) noexcept;

 private:
  friend class Stream;
  friend struct Callbacks;
  static constexpr std::int64_t maximum_credit = 2000;
  static constexpr std::int64_t credit_per_second = 200;
  /// Bytes of an answer that the peer has to take within transfer_timeout.
  static constexpr std::size_t piece = std::size_t{64} * 1024;

  static void expire(Timer& timer) noexcept;
  void check_deadlines() noexcept;
  /// The timer goes off by then; deadlines that move away cost nothing.
  void watch(Time deadline) noexcept;
  void busy() noexcept { idle_deadline_ = never; }
  void rest() noexcept;
  /// Pays for a frame of the peer's; see above.
  void spend(std::int64_t cost) noexcept;
  void calm() noexcept;
  /// The peer took so much of the body.
  void taken(Stream& stream, std::size_t size) noexcept;
  /// Whether it is not the peer that keeps the stream from going on: then it waits for the flow, which has its own
  /// deadline, or for the connection's other streams.
  [[nodiscard]] bool waits_its_turn(const Stream& stream) const noexcept;
  [[nodiscard]] Stream* open(std::int32_t id) noexcept;
  void consumed(Stream& stream, std::size_t count) noexcept;
  void welcome(Stream& stream) noexcept;

  static void* allocate(std::size_t size, void* session) noexcept;
  static void* allocate_zeroed(std::size_t count, std::size_t size, void* session) noexcept;
  static void* reallocate(void* old, std::size_t size, void* session) noexcept;
  static void give_back(void* memory, void* session) noexcept;

  Shard& shard_;
  SessionOwner& owner_;
  const ServerOptions& http_;
  Options options_;
  Counters& counters_;
  Output& output_;
  nghttp2_session* session_ = nullptr;
  List<Stream> streams_;
  std::uint32_t stream_count_ = 0;
  std::uint32_t answered_count_ = 0;  // of those
  std::size_t memory_ = 0;
  WaitQueue work_;
  Time idle_deadline_ = never;
  Time head_deadline_ = never;
  std::int32_t head_stream_ = 0;  // whose section that is
  Time write_deadline_ = never;
  Duration write_patience_;  // what is left of it; more is earned by what is taken
  Duration earned_{};
  Time end_deadline_ = never;
  std::size_t taken_ = 0;  // of the streams together
  Time moved_at_{};        // when that was last `piece`
  Time paid_at_{};
  std::int64_t credit_ = maximum_credit;
  bool terminated_ = false;
};

}  // namespace mirage::http::h2
