// SPDX-License-Identifier: ISC
// Many TCP clients in one: builds and reads frames itself, twelve bytes for each connection, so that the client's host
// needs no socket for any of them. Talks to the service in guest/service.hpp on 10.0.0.2; its stations are 10.0.0.10
// and following, with 50 000 ports each. No loss recovery but repeat().
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <mirage/base/address.hpp>
#include <mirage/base/bytes.hpp>

namespace capacity {

/// What the connections are made to do.
enum class Phase : std::uint8_t {
  open,   ///< each is opened
  ask,    ///< each sends a byte and gets one
  close,  ///< each is closed by the client
  cycle,  ///< one after the other is opened, asks and is closed; every second by the server first
};

class Crowd {
 public:
  using Send = std::function<void(mirage::Bytes frame)>;
  static constexpr std::uint32_t at_once = 64;

  Crowd(std::uint32_t connections, mirage::MacAddress server, Send send)
      : server_(server), send_(std::move(send)), connections_(connections) {}

  /// `count` connections, or cycles. Precondition: the phase before is finished.
  void start(Phase phase, std::uint32_t count);
  void take(mirage::Bytes frame);
  /// Sends again whatever has not been answered.
  void repeat();
  [[nodiscard]] bool finished() const noexcept { return done_ == count_; }
  [[nodiscard]] std::uint32_t done() const noexcept { return done_; }

  std::uint64_t answers = 0;
  std::uint64_t resets = 0;
  std::uint64_t repeated = 0;

 private:
  enum class State : std::uint8_t { none, opening, open, asking, closing };
  struct Connection {
    std::uint32_t next = 0;      ///< ours, not acknowledged
    std::uint32_t expected = 0;  ///< theirs
    State state = State::none;
    bool their_end = false;
    bool last = false;  ///< the server closes first
  };
  void proceed();
  void act(std::uint32_t index);
  void arrive(std::uint32_t index, const struct Arrived& arrived);
  void finish();
  void send(std::uint32_t index, std::uint8_t flags, bool byte);
  void answer_arp(mirage::Bytes frame);

  mirage::MacAddress server_;
  Send send_;
  std::vector<Connection> connections_;
  Phase phase_ = Phase::open;
  std::uint32_t count_ = 0;
  std::uint32_t started_ = 0;
  std::uint32_t done_ = 0;
};

}  // namespace capacity
