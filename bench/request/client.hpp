// SPDX-License-Identifier: ISC
// The clients: as many connections as are asked for, answered by rote. No stack, no timers: the wire loses nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <bench/request/wire.hpp>

namespace bench {

struct Load {
  std::uint16_t port = 80;
  std::size_t connections = 1;
  std::size_t depth = 1;  ///< requests in one segment
  std::string request;
  bool closes = false;  ///< the server ends a connection after one answer; another takes its place
};

class Client {
 public:
  Client(Wire& wire, const Load& load);
  /// Makes itself known to the server's stack.
  void introduce();
  /// Opens every connection.
  void connect();
  /// Reacts to what the server has sent.
  void run();
  /// Answers that have come.
  [[nodiscard]] std::uint64_t answers() const noexcept { return answers_; }
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  struct Connection {
    std::uint16_t port = 0;
    std::uint32_t sequence = 0;
    std::uint32_t acknowledgement = 0;
    std::size_t received = 0;  ///< of the answers that are awaited
  };
  void open(Connection& connection);
  void receive(const Packet& packet);
  void take_text(Connection& connection, const Packet& packet, const Segment& segment);
  void ask(Connection& connection);
  void send(Connection& connection, std::uint8_t flags, std::string_view text = {});

  Wire& wire_;
  const Load& load_;
  std::string text_;
  std::vector<Connection> connections_;
  std::size_t answer_size_ = 0;
  std::uint64_t answers_ = 0;
  std::uint16_t next_port_ = 1024;
  bool failed_ = false;
};

}  // namespace bench
