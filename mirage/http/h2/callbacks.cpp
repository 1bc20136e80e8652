// SPDX-License-Identifier: ISC
// What nghttp2 calls, and the answers' heads.
#include <algorithm>
#include <cstring>

#include <nghttp2/nghttp2.h>

#include <mirage/http/h2/session.hpp>

namespace mirage::http::h2 {
namespace {

constexpr std::int32_t connection_window = 256 * 1024;

std::string_view text_of(const std::uint8_t* data, std::size_t size) noexcept {
  return {reinterpret_cast<const char*>(data), size};
}

nghttp2_nv field(std::string_view name, std::string_view value) noexcept {
  // nghttp2 copies both, and takes the name in lower case (RFC 9113 section 8.2.1).
  const auto bytes = [](std::string_view text) noexcept {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

/// RFC 9113 section 8.2.2: fields of one connection of HTTP/1.1.
bool is_connection_specific(std::string_view name) noexcept {
  return equals_ignoring_case(name, "connection") || equals_ignoring_case(name, "upgrade") ||
         equals_ignoring_case(name, "keep-alive") || equals_ignoring_case(name, "proxy-connection");
}

/// What a frame that asks for nothing costs; a connection earns Session::credit_per_second.
std::int64_t cost_of(const nghttp2_frame& frame) noexcept {
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      return 0;  // bounded by maximum_streams, and by what resets cost
    case NGHTTP2_DATA:
      return frame.hd.length == frame.data.padlen && (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ? 5 : 0;
    case NGHTTP2_WINDOW_UPDATE:
      return 1;
    default:
      return 10;
  }
}

/// A field section on the stack, on its way to nghttp2.
class Fields {
 public:
  [[nodiscard]] bool add(std::string_view name, std::string_view value) noexcept {
    if (count_ == fields_.size()) return false;
    fields_[count_++] = field(name, value);
    return true;
  }
  [[nodiscard]] bool add_all(const HeaderBlock& block) noexcept {
    for (const Header each : block.lines()) {
      if (!is_connection_specific(each.name) && !add(each.name, each.value)) return false;
    }
    return true;
  }
  [[nodiscard]] const nghttp2_nv* data() const noexcept { return fields_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  std::array<nghttp2_nv, 100> fields_;  // NOLINT: only the first count_ count
  std::size_t count_ = 0;
};

}  // namespace

/// nghttp2's side of a session.
struct Callbacks {
  static Stream* stream(nghttp2_session* session, std::int32_t id) noexcept {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static Session& self(void* user) noexcept { return *static_cast<Session*>(user); }

  static int on_begin_headers(nghttp2_session* session_handle, const nghttp2_frame* frame, void* user) noexcept {
    Session& session = self(user);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (session.open(frame->hd.stream_id) == nullptr) {
      ++session.counters_.refused;
      (void)nghttp2_submit_rst_stream(session_handle, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                       void* user) noexcept {
    Stream* const to = stream(session, frame->hd.stream_id);
    if (to == nullptr) return 0;
    Session& own = self(user);
    // What comes behind the content are trailers.
    Head& head = to->begun_ ? to->tail_ : to->head_;
    head.add(own.shard_.buffers(), text_of(name, name_size), text_of(value, value_size), own.http_.maximum_head);
    // A byte on the wire may stand for 4 KiB, each of which nghttp2 checks: a section without measure is a reset and
    // not looked at any more. One that is merely too large has its answer.
    return head.size() / 4 > own.http_.maximum_head ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
  }

  static int on_frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) noexcept {
    Session& own = self(user);
    own.spend(cost_of(*frame));
    Stream* const to = stream(session, frame->hd.stream_id);
    const bool message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (frame->hd.type == NGHTTP2_HEADERS) own.head_deadline_ = never;
    if (frame->hd.type == NGHTTP2_RST_STREAM) ++own.counters_.resets;
    if (to == nullptr || !message) return 0;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (end && to->begun_ && frame->hd.type == NGHTTP2_HEADERS) take_trailers(*to);
    to->received_ = to->received_ || end;
    if (end) to->readable_.notify_all();
    if (to->begun_) return 0;
    to->begun_ = true;
    ++own.counters_.streams;
    if (to->head_.too_large()) ++own.counters_.too_large;
    own.owner_.on_request(*to);
    return 0;
  }

  static void take_trailers(Stream& to) noexcept {
    if (to.tail_.too_large()) return;
    to.trailers_ = to.tail_.take_fields();
    // keep_trailers() wants the empty line that ends a section.
    if (to.trailers_.tailroom() >= 2) std::memcpy(to.trailers_.grow_back(2).data(), "\r\n", 2);
    if (!keep_trailers(to.trailers_)) to.trailers_ = MutableSlice{};
  }

  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void* user) noexcept {
    self(user).spend(10);
    return 0;
  }

  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                     std::size_t size, void* user) noexcept {
    Stream* const to = stream(session, id);
    // Of a stream that nobody serves any more: the connection's window must not shrink by it.
    if (to == nullptr) return nghttp2_session_consume(session, id, size) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!to->store(std::as_bytes(std::span{data, size}))) {
      to->lost_ = true;
      self(user).reset(*to, ErrorCode::enhance_your_calm);
    }
    to->readable_.notify_all();
    return 0;
  }

  static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) noexcept {
    Session& own = self(user);
    const bool message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    Stream* const of = message ? stream(session, frame->hd.stream_id) : nullptr;
    if (of != nullptr && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && !std::exchange(of->answered_, true)) {
      ++own.answered_count_;
    }
    // Peers earn what they get; a reset that they made us send costs as much as one of theirs.
    if (frame->hd.type == NGHTTP2_DATA) own.credit_ = std::min(own.credit_ + 4, Session::maximum_credit);
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR) own.spend(10);
    return 0;
  }

  static int on_stream_close(nghttp2_session* session, std::int32_t id, std::uint32_t, void* user) noexcept {
    Stream* const closed = stream(session, id);
    if (closed == nullptr) return 0;
    Session& own = self(user);
    closed->closed_ = true;
    if (closed->unread_ != 0) {
      (void)nghttp2_session_consume_connection(session, std::exchange(closed->unread_, 0));
      (void)closed->take();
      closed->lost_ = true;
    }
    closed->readable_.notify_all();
    closed->writable_.notify_all();
    // A head that never became a request has no handler that would release it.
    if (!closed->begun_) {
      if (own.head_stream_ == id) own.head_deadline_ = never;  // refused as malformed: nothing more is waited for
      own.release(*closed);
    }
    return 0;
  }

  static ssize_t on_read_body(nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t size,
                              std::uint32_t* flags, nghttp2_data_source*, void*) noexcept {
    Stream* const from = stream(session, id);
    if (from == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const std::size_t count = from->sendable(size);
    if (count == 0 && !from->last_) return NGHTTP2_ERR_DEFERRED;
    if (count != 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!from->last_ || count != from->out_.byte_count()) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    from->sent_ = count == 0;
    if (from->sent_) from->writable_.notify_all();
    if (from->after_ != nullptr && !from->after_->text().empty()) {
      Fields fields;
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (!fields.add_all(*from->after_) || nghttp2_submit_trailer(session, id, fields.data(), fields.size()) != 0) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
    }
    return static_cast<ssize_t>(count);
  }

  static int on_send_data(nghttp2_session* session, nghttp2_frame* frame, const std::uint8_t* head, std::size_t size,
                          nghttp2_data_source*, void* user) noexcept {
    constexpr std::size_t frame_head = 9;  // RFC 9113 section 4.1
    Session& own = self(user);
    Stream* const from = stream(session, frame->hd.stream_id);
    if (from == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    // nghttp2 goes on from frame to frame by itself: this one waits for the next collect().
    if (!own.output_.has_room()) return NGHTTP2_ERR_WOULDBLOCK;
    if (!own.output_.append(text_of(head, frame_head))) return NGHTTP2_ERR_CALLBACK_FAILURE;
    for (const Slice& slice : from->out_.take_prefix(size)) {
      if (!own.output_.append(slice)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    own.taken(*from, size);
    if (from->out_.empty()) {
      from->sent_ = from->last_;
      from->writable_.notify_all();
    }
    return 0;
  }
};

namespace {

/// Callbacks and options of one session, given up once it exists.
struct Setup {
  Setup() noexcept {
    if (nghttp2_session_callbacks_new(&callbacks) != 0) callbacks = nullptr;
    if (nghttp2_option_new(&option) != 0) option = nullptr;
  }
  Setup(const Setup&) = delete;
  Setup& operator=(const Setup&) = delete;
  ~Setup() {
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
  }
  [[nodiscard]] bool fill() const noexcept {
    if (callbacks == nullptr || option == nullptr) return false;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &Callbacks::on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &Callbacks::on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &Callbacks::on_frame_received);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, &Callbacks::on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, &Callbacks::on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, &Callbacks::on_send_data);
    nghttp2_option_set_no_auto_window_update(option, 1);  // windows open when handlers read
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, 64);  // of SETTINGS and PING, for a peer that does not read
    nghttp2_option_set_max_continuations(option, 8);  // CVE-2024-28182
    // Session::spend() does it, by the shard's time.
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
    return true;
  }
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
};

}  // namespace

bool Session::start() noexcept {
  ++counters_.connections;
  const Setup setup;
  if (!setup.fill()) return false;
  nghttp2_mem memory{this, &Session::allocate, &Session::give_back, &Session::allocate_zeroed, &Session::reallocate};
  if (nghttp2_session_server_new3(&session_, setup.callbacks, this, setup.option, &memory) != 0) {
    session_ = nullptr;
    return false;
  }
  // RFC 9113 section 6.5.2; priorities of RFC 7540 are not heeded (RFC 9218 section 2.1).
  const std::array<nghttp2_settings_entry, 4> settings{
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_.maximum_streams},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, Stream::window},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, http_.maximum_head},
       {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}}};
  rest();
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0 &&
         nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, connection_window) == 0;
}

bool Session::respond(Stream& stream, const Response& response, const Delivery& delivery,
                      std::string_view date) noexcept {
  const Text<8> status{"{}", response.status};
  const Text<24> length{"{}", delivery.length};
  stream.expects_continue_ = false;  // too late for it
  if (stream.closed_) return false;
  Fields fields;
  bool room = fields.add(":status", status.view()) && fields.add("date", date);
  if (delivery.framing == Delivery::Framing::length) room = room && fields.add("content-length", length.view());
  room = room && fields.add_all(response.headers);
  const bool body = delivery.has_body && (response.source || !response.body.empty());
  const nghttp2_data_provider provider{.source = {.ptr = nullptr}, .read_callback = &Callbacks::on_read_body};
  const bool submitted = room && nghttp2_submit_response(session_, stream.id_, fields.data(), fields.size(),
                                                         body ? &provider : nullptr) == 0;
  work_.notify_all();
  return submitted;
}

/// RFC 9110 section 15.2.1: an interim response, before the final one.
void Session::welcome(Stream& stream) noexcept {
  const nghttp2_nv status = field(":status", "100");
  (void)nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id_, nullptr, &status, 1, nullptr);
  work_.notify_all();
}

}  // namespace mirage::http::h2
