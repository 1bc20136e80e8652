// SPDX-License-Identifier: ISC
#include <algorithm>

#include <nghttp2/nghttp2.h>

#include <mirage/http/h2/session.hpp>

namespace mirage::http::h2 {

Session::Session(Shard& shard, SessionOwner& owner, const ServerOptions& http, const Options& options,
                 Counters& counters, Output& output) noexcept
    : Timer(&Session::expire),
      shard_(shard),
      owner_(owner),
      http_(http),
      options_(options),
      counters_(counters),
      output_(output),
      write_patience_(http.transfer_timeout),
      paid_at_(shard.now()) {}

Session::~Session() {
  nghttp2_session_del(std::exchange(session_, nullptr));
  while (Stream* left = streams_.front()) release(*left);
}

bool Session::receive(const Slice& slice) noexcept {
  const auto* data = reinterpret_cast<const std::uint8_t*>(slice.data());
  const auto taken = nghttp2_session_mem_recv(session_, data, slice.size());
  if (streams_.empty()) rest();
  // Answers to PING and SETTINGS that the peer does not take, header sections without end.
  if (taken == NGHTTP2_ERR_FLOODED || taken == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) calm();
  work_.notify_all();
  return taken >= 0;
}

bool Session::collect() noexcept {
  while (output_.has_room()) {
    const std::uint8_t* data = nullptr;
    const auto size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) return false;
    if (size == 0) return true;
    if (!output_.append(as_text(std::as_bytes(std::span{data, static_cast<std::size_t>(size)})))) return false;
  }
  return true;
}

bool Session::over() const noexcept {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void Session::writing(bool on) noexcept {
  if (on) {
    earned_ = http_.transfer_timeout / piece * static_cast<std::int64_t>(output_.byte_count());
    write_deadline_ = after(shard_.now(), write_patience_);
    watch(write_deadline_);
  } else if (write_deadline_ != never) {
    const Duration left = std::exchange(write_deadline_, never) - shard_.now();
    write_patience_ = std::min(http_.transfer_timeout, left + earned_);
  }
}

void Session::terminate(ErrorCode code) noexcept {
  if (terminated_ || session_ == nullptr) return;
  terminated_ = true;
  idle_deadline_ = head_deadline_ = never;
  (void)nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(code));
  linger();
  work_.notify_all();
}

void Session::linger() noexcept {
  end_deadline_ = after(shard_.now(), http_.linger_timeout);
  watch(end_deadline_);
}

Task<Result<void, ReadError>> Session::send(Stream& stream, SliceList part, bool last,
                                            const HeaderBlock* trailers) noexcept {
  stream.out_ = std::move(part);
  stream.last_ = last;
  stream.after_ = trailers;
  if (!stream.closed_) (void)nghttp2_session_resume_data(session_, stream.id_);
  work_.notify_all();
  while (!stream.closed_ && (!stream.out_.empty() || (last && !stream.sent_))) {
    stream.deadline_ = after(shard_.now(), stream.patience_);
    watch(stream.deadline_);
    const WaitStatus waited = co_await stream.writable_.wait();
    stream.patience_ = stream.deadline_ - shard_.now();
    stream.deadline_ = never;
    if (waited == WaitStatus::cancelled) co_return Failure{ReadError::flow};
  }
  if (stream.closed_ && !stream.sent_) co_return Failure{ReadError::flow};
  co_return Result<void, ReadError>{};
}

void Session::reset(Stream& stream, ErrorCode code) noexcept {
  if (stream.closed_) return;
  (void)nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<std::uint32_t>(code));
  work_.notify_all();
}

void Session::release(Stream& stream) noexcept {
  if (session_ != nullptr && !stream.closed_) {
    (void)nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
    if (stream.unread_ != 0) (void)nghttp2_session_consume(session_, stream.id_, stream.unread_);
  }
  stream.unlink();
  --stream_count_;
  answered_count_ -= stream.answered_ ? 1 : 0;
  delete &stream;
  if (streams_.empty()) rest();
}

void Session::expire(Timer& timer) noexcept {
  auto& self = static_cast<Session&>(timer);
  self.check_deadlines();
  Time next = std::min({self.idle_deadline_, self.head_deadline_, self.write_deadline_, self.end_deadline_});
  for (Stream* each = self.streams_.front(); each != nullptr; each = self.streams_.next(*each)) {
    next = std::min({next, each->deadline_, each->read_deadline_});
  }
  if (next != never) self.watch(next);
}

void Session::check_deadlines() noexcept {
  const Time now = shard_.now();
  const auto passed = [now](Time& deadline) noexcept {
    const bool over = deadline <= now;
    if (over) deadline = never;
    return over;
  };
  if (passed(write_deadline_) || passed(end_deadline_)) {
    ++counters_.timeouts;
    write_deadline_ = end_deadline_ = never;
    return owner_.on_stuck();
  }
  if (passed(idle_deadline_)) terminate(ErrorCode::no_error);
  if (passed(head_deadline_)) {
    ++counters_.timeouts;
    terminate(ErrorCode::enhance_your_calm);
  }
  for (Stream* each = streams_.front(); each != nullptr; each = streams_.next(*each)) {
    bool stuck = passed(each->read_deadline_);
    if (passed(each->deadline_)) {
      stuck = stuck || !waits_its_turn(*each);
      if (!stuck) each->deadline_ = after(now, http_.transfer_timeout);
    }
    if (!stuck) continue;
    ++counters_.timeouts;
    reset(*each, ErrorCode::cancel);
  }
}

void Session::taken(Stream& stream, std::size_t size) noexcept {
  taken_ += size;
  if (taken_ >= piece) {
    taken_ = 0;
    moved_at_ = shard_.now();
  }
  stream.taken_ += size;
  if (stream.taken_ < piece) return;
  stream.taken_ = 0;
  if (stream.deadline_ != never) stream.deadline_ = after(shard_.now(), http_.transfer_timeout);
}

bool Session::waits_its_turn(const Stream& stream) const noexcept {
  if (stream.closed_) return false;
  // A full frame or all that there is: a window that is opened a bit at a time is the peer's way to hold a stream.
  constexpr std::size_t frame = 16 * 1024;
  const auto wanted = static_cast<std::int64_t>(std::min(frame, stream.out_.byte_count()));
  return nghttp2_session_get_stream_remote_window_size(session_, stream.id_) >= wanted &&
         (nghttp2_session_get_remote_window_size(session_) >= wanted ||
          shard_.now() - moved_at_ <= http_.transfer_timeout);
}

void Session::watch(Time deadline) noexcept {
  if (!armed() || deadline < Timer::deadline()) arm(shard_.timers(), deadline);
}

void Session::rest() noexcept {
  if (terminated_) return;
  idle_deadline_ = after(shard_.now(), http_.idle_timeout);
  watch(idle_deadline_);
}

void Session::spend(std::int64_t cost) noexcept {
  if (cost == 0 || terminated_) return;
  const std::int64_t earned = (shard_.now() - paid_at_) / std::chrono::milliseconds{1};
  if (earned > 0) {
    paid_at_ = shard_.now();
    credit_ = std::min(credit_ + earned * credit_per_second / 1000, maximum_credit);
  }
  credit_ -= cost;
  if (credit_ < 0) calm();
}

void Session::calm() noexcept {
  if (terminated_) return;
  ++counters_.floods;
  terminate(ErrorCode::enhance_your_calm);
}

Stream* Session::open(std::int32_t id) noexcept {
  const std::uint32_t maximum = options_.maximum_streams;
  if (stream_count_ >= maximum + std::min(answered_count_, maximum)) return nullptr;
  auto* made = new (std::nothrow) Stream(*this, id);
  if (made == nullptr) return nullptr;
  streams_.push_back(*made);
  ++stream_count_;
  (void)nghttp2_session_set_stream_user_data(session_, id, made);
  // In turn, frame by frame: by default nghttp2 has the others wait until all that there is of one stream has gone. A
  // front proxy's streams are of many people.
  const nghttp2_extpri equal{.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
  (void)nghttp2_session_change_extpri_stream_priority(session_, id, &equal, 1);
  busy();
  made->patience_ = http_.transfer_timeout;
  head_stream_ = id;
  head_deadline_ = after(shard_.now(), http_.head_timeout);
  watch(head_deadline_);
  return made;
}

void Session::consumed(Stream& stream, std::size_t count) noexcept {
  if (stream.closed_) return;
  (void)nghttp2_session_consume(session_, stream.id_, count);
  work_.notify_all();
}

}  // namespace mirage::http::h2
