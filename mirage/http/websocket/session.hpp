// SPDX-License-Identifier: ISC
// One WebSocket (RFC 6455 sections 5 to 7) over any Tunnel, as server or client: fragmentation, control frames, the
// closing handshake. Not here: extensions (no compression).
//
// One task receives; any number may send: their messages do not mix. Pings are answered, closes are answered and
// everything that is wrong is told to the peer with a Close frame by receive(), so somebody must be in it.
#pragma once

#include <optional>
#include <string_view>

#include <mirage/async/sleep.hpp>
#include <mirage/async/task.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/http/tunnel.hpp>
#include <mirage/http/websocket/frame.hpp>

namespace mirage::http::websocket {

enum class Role : std::uint8_t { server, client };

/// Of every session that is given it in its options.
struct Counters {
  std::uint64_t sessions = 0;
  std::uint64_t messages = 0;  ///< received whole
  std::uint64_t pongs = 0;     ///< received
  std::uint64_t refused = 0;   ///< sessions ended by what the peer sent: 1002, 1007, 1009
  std::uint64_t timeouts = 0;
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("websocket", counters_of(*this)); }
};

struct Options {
  std::uint64_t maximum_message = 64 * 1024;  ///< bytes; a longer one: 1009. With receive_part() any value will do
  std::uint64_t maximum_frames = 64 * 1024;   ///< per message: fragments without content are work for nothing
  Duration ping_after = 30s;                  ///< of silence of the peer
  Duration answer_timeout = 20s;              ///< after a ping or our Close without anything from the peer
  Counters* counters = nullptr;               ///< where to count besides; must outlive the session
};

enum class Error : std::uint8_t {
  closed,        ///< by the closing handshake: close_code() and close_reason() say why
  protocol,      ///< 1002 was sent
  invalid_text,  ///< 1007 was sent
  too_large,     ///< 1009 was sent
  flow,          ///< the stream ended or broke without a handshake (1006)
  timed_out,
  cancelled,
  no_memory,
};

enum class Kind : std::uint8_t { text, binary };

/// A piece of a message, as it came in; `final`: the message's last, which may be without bytes.
struct Part {
  Kind kind = Kind::binary;
  bool final = false;
  Slice data;
};
struct Message {
  Kind kind = Kind::binary;
  Slice data;
};

class Session {
 public:
  /// The tunnel must outlive it. A client needs the shard's random numbers for its masks (section 5.3).
  Session(Tunnel& tunnel, Role role, const Options& options = {}) noexcept
      : tunnel_(tunnel), options_(options), role_(role) {
    count(&Counters::sessions);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  [[nodiscard]] Shard& shard() noexcept { return tunnel_.shard(); }

  /// The next whole message, at most 64 KiB whatever the options say.
  Task<Result<Message, Error>> receive() noexcept;
  /// The next piece of a message, for those that are not to be held in memory as a whole. Text is checked as it comes.
  Task<Result<Part, Error>> receive_part() noexcept;

  /// Sends a message. Text must be UTF-8: not checked.
  Task<Result<void, Error>> send(Kind kind, SliceList data) noexcept;
  /// Sends one fragment of a message; `first` and `final` say where it stands. Other sends wait until the final one.
  Task<Result<void, Error>> send_part(Kind kind, SliceList data, bool first, bool final) noexcept;
  /// At most 125 bytes.
  Task<Result<void, Error>> ping(Bytes data) noexcept;
  /// Begins the closing handshake; receive() completes it. A reason is cut at 123 bytes.
  Task<Result<void, Error>> close(std::uint16_t code = 1000, std::string_view reason = {}) noexcept;

  /// What the peer's Close said: 1005 when it gave no code, 1006 before or without one.
  [[nodiscard]] std::uint16_t close_code() const noexcept { return close_code_; }
  [[nodiscard]] std::string_view close_reason() const noexcept { return {reason_.data(), reason_size_}; }
  [[nodiscard]] std::uint64_t pongs() const noexcept { return pongs_; }

 private:
  using Done = Result<void, Error>;
  using ControlPayload = std::array<std::byte, FrameHeader::maximum_control_payload>;

  void count(std::uint64_t Counters::* counter) const noexcept {
    if (options_.counters != nullptr) ++(options_.counters->*counter);
  }
  Task<Done> fill() noexcept;
  Task<Done> next_header() noexcept;
  [[nodiscard]] Done check_header() noexcept;
  Task<Done> control() noexcept;
  Task<Done> answer_close(Bytes payload) noexcept;
  [[nodiscard]] Error read_close(Bytes payload) noexcept;
  [[nodiscard]] Result<Part, Error> take_payload() noexcept;
  void finish_frame() noexcept;
  /// Tells the peer what is wrong, once; nothing is sent afterwards (section 7.1.7).
  Task<Done> tell(Error error) noexcept;
  /// Waits for the turn to write; control frames go between the fragments of a message, other messages do not.
  Task<Done> acquire(bool control, bool first) noexcept;
  void release() noexcept;
  Task<Done> send_frame(Opcode opcode, bool final, SliceList payload) noexcept;
  /// Some of a frame may have gone out, as when a time limit ended its write: the peer would take whatever follows for
  /// the rest of it.
  [[nodiscard]] Failure<Error> cut_off(FlowError error) noexcept;
  Task<Done> send_control(Opcode opcode, Bytes payload) noexcept;
  [[nodiscard]] bool mask(SliceList& payload, MaskingKey& key) noexcept;

  Tunnel& tunnel_;
  Options options_;
  Role role_;
  // Receiving
  SliceList in_;
  FrameHeader header_;
  std::uint64_t left_ = 0;    // of the current frame's payload
  std::uint64_t offset_ = 0;  // into it
  std::uint64_t message_bytes_ = 0;
  std::uint64_t message_frames_ = 0;
  std::optional<Kind> message_;  // being received
  Utf8Checker utf8_;
  bool in_frame_ = false;
  std::optional<Error> ended_;
  std::uint16_t close_code_ = 1006;
  std::array<char, 123> reason_{};
  std::size_t reason_size_ = 0;
  std::uint64_t pongs_ = 0;
  // Sending
  WaitQueue turns_;
  bool writing_ = false;
  bool in_message_ = false;  // fragments of a message have gone out, its end has not
  bool close_sent_ = false;
};

/// A handler's session as what takes over the connection: `serve(session)` is called once and must keep receiving until
/// that fails.
template <class Serve>
class Upgraded final : public Upgrade {
 public:
  explicit Upgraded(Serve serve, const Options& options = {}) noexcept : serve_(std::move(serve)), options_(options) {}
  [[nodiscard]] std::string_view protocol() const noexcept override { return "websocket"; }
  Task<Result<void, FlowError>> run(Tunnel& tunnel) noexcept override {
    Session session{tunnel, Role::server, options_};
    (void)co_await serve_(session);
    co_return Result<void, FlowError>{};
  }

 private:
  Serve serve_;
  Options options_;
};

}  // namespace mirage::http::websocket
