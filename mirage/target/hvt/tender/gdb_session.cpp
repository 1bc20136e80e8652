// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <optional>

#include <mirage/target/hvt/tender/gdb_session.hpp>

namespace mirage::target::hvt::gdb {

namespace {

constexpr std::string_view ok = "OK";
constexpr std::string_view error = "E01";

/// Where register `number` of gdb's description stands in Registers.
struct Place {
  std::size_t offset;
  std::size_t size;
};
std::optional<Place> place_of(std::uint64_t number) {
  struct Range {
    std::uint64_t first;
    std::uint64_t count;
    std::size_t offset;
    std::size_t size;
  };
  constexpr Range ranges[] = {{0, 17, offsetof(Registers, general), 8},     {17, 7, offsetof(Registers, rflags), 4},
                              {24, 8, offsetof(Registers, st), 10},         {32, 8, offsetof(Registers, x87), 4},
                              {40, 16, offsetof(Registers, xmm), 16},       {56, 1, offsetof(Registers, mxcsr), 4},
                              {57, 3, offsetof(Registers, original_rax), 8}};
  for (const Range& range : ranges) {
    if (number >= range.first && number - range.first < range.count) {
      return Place{range.offset + static_cast<std::size_t>(number - range.first) * range.size, range.size};
    }
  }
  return std::nullopt;
}

}  // namespace

bool Session::send(std::string_view payload) {
  std::array<char, payload_limit + 4> framed;
  return connection_.write(frame(payload, framed));
}

void Session::describe(const Stop& stop, Reply& reply) const {
  reply.text("T").byte(stop.signal).text("thread:1;").text(stop.reason);
}

Session::Resume Session::converse(const Stop& stop, bool announce) {
  stop_ = stop;
  if (announce) {
    Reply reply;
    describe(stop, reply);
    send(reply.payload());
  }
  for (;;) {
    if (input_used_ == input_size_) {
      input_used_ = 0;
      input_size_ = connection_.read(input_, true).value_or(0);
      if (input_size_ == 0) {
        return Resume::detach;
      }
    }
    switch (reader_.feed(input_[input_used_++])) {
      case PacketReader::Event::none:
        continue;
      case PacketReader::Event::corrupt:
        connection_.write("-");
        continue;
      case PacketReader::Event::interrupt:  // it stands still already
        continue;
      case PacketReader::Event::packet:
        break;
    }
    if (acknowledge_) {
      connection_.write("+");
    }
    Reply reply;
    const Answer answer = serve(reader_.payload(), reply);
    const bool silent = answer.resume && answer.how != Resume::detach;
    if (!silent && !send(reply.payload())) {
      return Resume::detach;
    }
    if (answer.resume) {
      return answer.how;
    }
  }
}

bool Session::interrupted() {
  if (input_used_ == input_size_) {
    const auto count = connection_.read(input_, false);
    if (!count || *count == 0) {
      return count.has_value();
    }
    input_used_ = 0;
    input_size_ = *count;
  }
  while (input_used_ < input_size_) {
    if (reader_.feed(input_[input_used_++]) == PacketReader::Event::interrupt) {
      return true;
    }
  }
  return false;
}

void Session::exited(int status) {
  Reply reply;
  reply.text("W").byte(static_cast<std::uint8_t>(status));
  send(reply.payload());
}

Session::Answer Session::serve(std::string_view request, Reply& reply) {
  if (request.empty()) {
    return {};
  }
  const Scanner rest{request.substr(1)};
  switch (request[0]) {
    case '?':
      describe(stop_, reply);
      return {};
    case 'g':
      read_registers(reply);
      return {};
    case 'G':
      write_registers(rest, reply);
      return {};
    case 'p':
      read_register(rest, reply);
      return {};
    case 'P':
      write_register(rest, reply);
      return {};
    case 'm':
      read_memory(rest, reply);
      return {};
    case 'M':
      write_memory(rest, reply);
      return {};
    case 'X':
      write_binary(rest, reply);
      return {};
    case 'Z':
      change_breakpoint(rest, true, reply);
      return {};
    case 'z':
      change_breakpoint(rest, false, reply);
      return {};
    case 'H':
    case 'T':  // there is one thread, and it lives
      reply.text(ok);
      return {};
    case 'q':
    case 'Q':
      serve_query(request, reply);
      return {};
    default:
      return serve_resume(request, reply);
  }
}

/// Everything that lets the guest go on; an empty reply means that we do not know the request.
Session::Answer Session::serve_resume(std::string_view request, Reply& reply) {
  if (request == "vCont?") {
    reply.text("vCont;c;C;s;S");
    return {};
  }
  if (request == "k" || request.starts_with("vKill")) {
    return {true, Resume::kill};
  }
  if (request == "D" || request.starts_with("D;")) {
    debuggee_.remove_all();
    reply.text(ok);
    return {true, Resume::detach};
  }
  Scanner scanner{request};
  const bool continued = scanner.skip("vCont;");
  const std::string_view action = scanner.rest();
  if (action.empty() || (!continued && action.size() > 1 && action[0] != 'C' && action[0] != 'S')) {
    // "c ADDRESS" and "s ADDRESS" are not offered: gdb writes the register instead.
    return {};
  }
  switch (action[0]) {
    case 'c':
    case 'C':
      return {true, Resume::run};
    case 's':
    case 'S':
      return {true, Resume::step};
    default:
      return {};
  }
}

void Session::serve_query(std::string_view request, Reply& reply) {
  if (request.starts_with("qSupported")) {
    reply.text("PacketSize=").number(payload_limit - 4).text(";swbreak+;hwbreak+;vContSupported+;QStartNoAckMode+");
  } else if (request == "QStartNoAckMode") {
    acknowledge_ = false;
    reply.text(ok);
  } else if (request == "qAttached") {
    reply.text("1");
  } else if (request == "qC") {
    reply.text("QC1");
  } else if (request == "qfThreadInfo") {
    reply.text("m1");
  } else if (request == "qsThreadInfo") {
    reply.text("l");
  } else if (request.starts_with("qSymbol")) {
    reply.text(ok);
  }
}

void Session::read_registers(Reply& reply) {
  Registers registers{};
  if (!debuggee_.read_registers(registers)) {
    reply.text(error);
    return;
  }
  reply.bytes(std::as_bytes(std::span{&registers, 1}));
}

/// gdb may know fewer registers than we do: those that it does not send keep their values.
void Session::write_registers(Scanner request, Reply& reply) {
  Registers registers{};
  const std::size_t size = std::min(request.rest().size() / 2, sizeof(registers));
  const bool done = debuggee_.read_registers(registers) &&
                    request.bytes(std::as_writable_bytes(std::span{&registers, 1}).first(size)) &&
                    debuggee_.write_registers(registers);
  reply.text(done ? ok : error);
}

void Session::read_register(Scanner request, Reply& reply) {
  Registers registers{};
  const auto number = request.number();
  const auto place = number ? place_of(*number) : std::nullopt;
  if (!place || !debuggee_.read_registers(registers)) {
    reply.text(error);
    return;
  }
  reply.bytes(std::as_bytes(std::span{&registers, 1}).subspan(place->offset, place->size));
}

void Session::write_register(Scanner request, Reply& reply) {
  Registers registers{};
  const auto number = request.number();
  const auto place = number ? place_of(*number) : std::nullopt;
  const bool done =
      place && request.skip("=") && debuggee_.read_registers(registers) &&
      request.bytes(std::as_writable_bytes(std::span{&registers, 1}).subspan(place->offset, place->size)) &&
      debuggee_.write_registers(registers);
  reply.text(done ? ok : error);
}

void Session::read_memory(Scanner request, Reply& reply) {
  std::array<std::byte, payload_limit / 2> bytes;
  const auto address = request.number();
  const bool comma = request.skip(",");
  const auto length = request.number();
  if (!address || !comma || !length || *length > bytes.size()) {
    reply.text(error);
    return;
  }
  const auto wanted = std::span{bytes}.first(static_cast<std::size_t>(*length));
  if (!debuggee_.read_memory(*address, wanted)) {
    reply.text(error);
    return;
  }
  reply.bytes(wanted);
}

void Session::write_memory(Scanner request, Reply& reply) {
  std::array<std::byte, payload_limit / 2> bytes;
  const auto address = request.number();
  const bool comma = request.skip(",");
  const auto length = request.number();
  if (!address || !comma || !length || *length > bytes.size() || !request.skip(":")) {
    reply.text(error);
    return;
  }
  const auto given = std::span{bytes}.first(static_cast<std::size_t>(*length));
  const bool done = request.bytes(given) && request.at_end() && debuggee_.write_memory(*address, given);
  reply.text(done ? ok : error);
}

void Session::write_binary(Scanner request, Reply& reply) {
  const auto address = request.number();
  const bool comma = request.skip(",");
  const auto length = request.number();
  const bool good = address && comma && length && request.skip(":") && request.rest().size() == *length &&
                    debuggee_.write_memory(*address, std::as_bytes(std::span{request.rest()}));
  reply.text(good ? ok : error);
}

void Session::change_breakpoint(Scanner request, bool insert, Reply& reply) {
  const auto kind = request.number();
  const bool first_comma = request.skip(",");
  const auto address = request.number();
  const bool second_comma = request.skip(",");
  const auto length = request.number();
  if (!kind || *kind > static_cast<std::uint64_t>(BreakKind::access)) {
    return;  // empty: not supported
  }
  const auto which = static_cast<BreakKind>(*kind);
  const bool done = first_comma && address && second_comma && length &&
                    (insert ? debuggee_.insert(which, *address, *length) : debuggee_.remove(which, *address, *length));
  reply.text(done ? ok : error);
}

}  // namespace mirage::target::hvt::gdb
