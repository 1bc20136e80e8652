// SPDX-License-Identifier: ISC
// A client for tests of the HTTP/2 server: nghttp2's client side on a pipe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nghttp2/nghttp2.h>

#include <mirage/http/connection_test.hpp>
#include <mirage/http/pipe_test.hpp>

namespace mirage::http::test {

inline constexpr std::uint32_t nothing = 0xffffffff;

struct Answer {
  std::map<std::string, std::string> fields;
  std::string statuses;  // interim ones too
  std::string body;
  bool ended = false;
  std::uint32_t reset = nothing;
};

/// A client: nghttp2's, on one end of a pipe.
class Peer {
 public:
  Peer(Shard& s, PipeFlow flow, bool windows = true) : shard_(s), flow_(std::move(flow)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, windows ? 0 : 1);
    nghttp2_session_client_new2(&session, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { nghttp2_session_del(session); }
  Shard& shard() { return shard_; }

  std::int32_t ask(std::initializer_list<std::pair<std::string_view, std::string_view>> list,
                   const std::string* body = nullptr) {
    std::vector<nghttp2_nv> fields;
    for (const auto& [name, value] : list) {
      fields.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                        0});
    }
    nghttp2_data_provider provider{};
    provider.read_callback = on_read;
    const auto id = nghttp2_submit_request(session, nullptr, fields.data(), fields.size(),
                                           body != nullptr ? &provider : nullptr, nullptr);
    if (body != nullptr) uploads[id] = *body;
    return id;
  }
  std::int32_t get(std::string_view path, std::string_view method = "GET") {
    return ask({{":method", method}, {":scheme", "http"}, {":authority", "a"}, {":path", path}});
  }

  /// Sends and receives until nothing has come for `quiet`.
  Task<int> settle(Duration quiet = 100ms) {
    while (true) {
      const std::uint8_t* data = nullptr;
      std::string out = std::exchange(raw, "");
      for (auto size = nghttp2_session_mem_send(session, &data); size > 0;
           size = nghttp2_session_mem_send(session, &data)) {
        out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
      }
      for (std::size_t at = 0; at < out.size(); at += 1000) {
        const std::string piece = out.substr(at, 1000);
        SliceList list{shard_.buffers().copy(as_bytes(std::string_view{piece}))};
        if (!co_await flow_.write(std::move(list))) co_return 1;
      }
      if (rest != Duration{}) (void)co_await sleep(rest);
      auto got = co_await within(quiet, flow_.read());
      if (!got) co_return 0;
      if (!*got || (*got)->empty()) {
        ended = true;
        co_return 1;
      }
      for (const Slice& slice : **got) {
        received += slice.text();
        if (nghttp2_session_mem_recv(session, reinterpret_cast<const std::uint8_t*>(slice.data()), slice.size()) < 0) {
          co_return 2;
        }
      }
    }
  }

  nghttp2_session* session = nullptr;
  std::map<std::int32_t, Answer> answers;
  std::map<std::int32_t, std::string> uploads;
  std::string raw;  // goes out before the session's own frames
  std::string received;
  std::uint32_t goaway = nothing;
  std::uint64_t uploaded = 0;
  bool ended = false;

 private:
  static Peer& self(void* user) { return *static_cast<Peer*>(user); }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    Answer& answer = self(user).answers[frame->hd.stream_id];
    const std::string key(reinterpret_cast<const char*>(name), name_size);
    answer.fields[key] = std::string(reinterpret_cast<const char*>(value), value_size);
    if (key == ":status") answer.statuses += answer.fields[key] + " ";
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                     void* user) {
    self(user).answers[id].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) self(user).goaway = frame->goaway.error_code;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
      self(user).answers[frame->hd.stream_id].reset = frame->rst_stream.error_code;
    const bool message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      self(user).answers[frame->hd.stream_id].ended = true;
    return 0;
  }
  static ssize_t on_read(nghttp2_session* session, std::int32_t id, std::uint8_t* out, std::size_t size,
                         std::uint32_t* flags, nghttp2_data_source*, void* user) {
    Peer& own = self(user);
    if (own.hold) return NGHTTP2_ERR_DEFERRED;
    std::string& left = own.uploads[id];
    const std::size_t count = left.size() < size ? left.size() : size;
    std::memcpy(out, left.data(), count);
    left.erase(0, count);
    own.uploaded += count;
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (left.empty() && own.trailing) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      nghttp2_nv field{reinterpret_cast<std::uint8_t*>(const_cast<char*>("digest")),
                       reinterpret_cast<std::uint8_t*>(const_cast<char*>("d")), 6, 1, 0};
      nghttp2_submit_trailer(session, id, &field, 1);
    }
    return static_cast<ssize_t>(count);
  }
  Shard& shard_;
  PipeFlow flow_;

 public:
  Duration rest{};  // before each read: a slow line
  bool trailing = false;
  bool hold = false;
};

}  // namespace mirage::http::test
