// SPDX-License-Identifier: ISC
// Opening and closing as packet traces: RFC 9293 sections 3.5 and 3.6, RFC 5961.
#include <mirage/net/tcp/trace_test.hpp>

using namespace mirage;
using namespace mirage::net::tcp;
using namespace mirage::net::tcp::test;

TEST_CASE("active open, RFC 9293 figure 6") {
  Trace t;
  t.connect().state(State::syn_sent);
  t.out(0, {.flags = S});
  CHECK(t.last->options.maximum_segment_size == segment_size);
  CHECK(t.last->options.has_window_scale);
  t.in(20, {.flags = S | A, .acknowledgement = 1}).state(State::established);
  CHECK(t.actions.established);
  t.out(20, {.sequence = 1, .acknowledgement = 1});
  t.silent(20);
}

TEST_CASE("the SYN is sent again after 1, 3 and 7 s, for three minutes in all") {
  Trace t;
  t.connect().out(0, {.flags = S});
  t.silent(999).out(1000, {.flags = S}).silent(2999).out(3000, {.flags = S}).out(7000, {.flags = S});
  for (std::int64_t ms = 15'000; ms <= 200'000 && t.tcb.state != State::closed; ms += 1000) {
    t.advance(ms);
    (void)next_departure(t.tcb, 100, Trace::at(ms));
  }
  t.state(State::closed);
  CHECK(t.actions.error == FlowError::timed_out);
  CHECK(t.replies.empty());  // nobody to tell
}

TEST_CASE("a refused connection") {
  Trace t;
  t.connect().out(0, {.flags = S});
  t.in(5, {.flags = R | A, .acknowledgement = 1}).state(State::closed);
  CHECK(t.actions.error == FlowError::refused);
}

TEST_CASE("a reset that does not acknowledge our SYN is ignored, RFC 9293 3.10.7.3") {
  Trace t;
  t.connect().out(0, {.flags = S});
  t.in(5, {.flags = R}).state(State::syn_sent);
  CHECK(t.actions.drop == Drop::reset_out_of_place);
  t.in(6, {.flags = R | A, .acknowledgement = 2}).state(State::syn_sent);
}

TEST_CASE("an old connection's acknowledgement is reset while we open, RFC 9293 figure 9") {
  Trace t;
  t.connect().out(0, {.flags = S});
  t.in(5, {.sequence = 300, .acknowledgement = 77}).state(State::syn_sent);
  t.reply({.flags = R, .sequence = 77});
}

TEST_CASE("simultaneous open, RFC 9293 figure 7") {
  Trace t;
  t.connect().out(0, {.flags = S});
  t.in(5, {.flags = S}).state(State::syn_received);
  t.out(5, {.flags = S | A, .acknowledgement = 1});
  t.in(10, {.flags = S | A, .acknowledgement = 1}).state(State::established);
  CHECK(t.actions.established);
}

TEST_CASE("passive open; the SYN,ACK is repeated for a repeated SYN") {
  Trace t;
  t.listen().out(0, {.flags = S | A, .acknowledgement = 1}).silent(0);
  t.in(300, {.flags = S}).out(300, {.flags = S | A, .acknowledgement = 1});
  t.in(310, {.sequence = 1, .acknowledgement = 1}).state(State::established);
}

TEST_CASE("options of a SYN: scaling and SACK only if both offer them") {
  Trace plain;
  plain.listen().out(0, {.flags = S | A, .acknowledgement = 1});
  CHECK_FALSE(plain.last->options.has_window_scale);
  CHECK_FALSE(plain.last->options.sack_permitted);
  CHECK(plain.tcb.send.segment_size == segment_size);  // 536 without the option, and the path takes 100
  Trace full{1 << 20};
  full.listen(
      {.flags = S,
       .options = {.maximum_segment_size = 60, .window_scale = 7, .has_window_scale = true, .sack_permitted = true}});
  full.out(0, {.flags = S | A, .acknowledgement = 1});
  CHECK(full.last->options.has_window_scale);
  CHECK(full.last->options.window_scale == 5);  // 2^20 needs a shift of 5 to fit into 16 bits
  CHECK(full.last->window == 0xffff);           // not scaled in a SYN
  CHECK(full.tcb.send.segment_size == 60);
  full.in(1, {.sequence = 1, .acknowledgement = 1, .window = 10});
  CHECK(full.tcb.send.window == 10 << 7);
}

TEST_CASE("an absurdly small MSS is not obeyed") {
  Trace t;
  t.listen({.flags = S, .options = {.maximum_segment_size = 1}});
  CHECK(t.tcb.send.segment_size == constant::smallest_segment_size);
}

TEST_CASE("a half-open connection ends by a wrong acknowledgement's reset, and by time") {
  Trace t;
  t.listen().out(0, {.flags = S | A, .acknowledgement = 1});
  t.in(5, {.sequence = 1, .acknowledgement = 50}).state(State::syn_received);
  t.reply({.flags = R, .sequence = 50});
  for (std::int64_t ms = 1000; ms <= 130'000 && t.tcb.state != State::closed; ms += 1000) {
    t.advance(ms);
    (void)next_departure(t.tcb, 100, Trace::at(ms));
  }
  t.state(State::closed);
}

TEST_CASE("we close first, RFC 9293 figure 12") {
  Trace t = Trace::established();
  shutdown(t.tcb);
  t.state(State::fin_wait_1).out(0, {.flags = F | A, .sequence = 1, .acknowledgement = 1});
  t.in(10, {.sequence = 1, .acknowledgement = 2}).state(State::fin_wait_2);
  CHECK(next_deadline(t.tcb) == never);  // half-closed: the peer may send as long as it likes
  t.in(20, {.sequence = 1, .acknowledgement = 2, .length = 30})
      .in(30, {.flags = F | A, .sequence = 31, .acknowledgement = 2});
  t.state(State::time_wait);
  CHECK(t.received == 30);
  CHECK(t.actions.finished);
  t.out(30, {.sequence = 2, .acknowledgement = 32});
  // The FIN again: acknowledged again, and 2 MSL start anew.
  t.in(40'000, {.flags = F | A, .sequence = 31, .acknowledgement = 2})
      .out(40'000, {.sequence = 2, .acknowledgement = 32});
  t.silent(60'100).state(State::time_wait);
  t.advance(100'000).state(State::closed);
  CHECK(t.actions.closed);
  CHECK_FALSE(t.actions.error.has_value());
}

TEST_CASE("the peer closes first") {
  Trace t = Trace::established();
  t.in(0, {.flags = F | A, .sequence = 1, .acknowledgement = 1}).state(State::close_wait);
  t.out(0, {.sequence = 1, .acknowledgement = 2});
  t.write(40).out(5, {.sequence = 1, .acknowledgement = 2, .length = 40});
  shutdown(t.tcb);
  t.state(State::last_ack).out(6, {.flags = F | A, .sequence = 41, .acknowledgement = 2});
  t.in(9, {.sequence = 2, .acknowledgement = 42}).state(State::closed);
  CHECK(t.actions.closed);
  CHECK(t.released == 40);
}

TEST_CASE("simultaneous close, RFC 9293 figure 13") {
  Trace t = Trace::established();
  shutdown(t.tcb);
  t.out(0, {.flags = F | A, .sequence = 1, .acknowledgement = 1});
  t.in(5, {.flags = F | A, .sequence = 1, .acknowledgement = 1}).state(State::closing);
  t.out(5, {.sequence = 2, .acknowledgement = 2});
  t.in(10, {.sequence = 2, .acknowledgement = 2}).state(State::time_wait);
}

TEST_CASE("a FIN travels with the last text and is repeated with it") {
  Trace t = Trace::established();
  t.write(50);
  shutdown(t.tcb);
  t.out(0, {.flags = F | A, .sequence = 1, .acknowledgement = 1, .length = 50});
  t.out(1000, {.flags = F | A, .sequence = 1, .acknowledgement = 1, .length = 50});
  t.in(1010, {.sequence = 1, .acknowledgement = 51}).state(State::fin_wait_1);
  t.in(1020, {.sequence = 1, .acknowledgement = 52}).state(State::fin_wait_2);
}

TEST_CASE("a FIN before the text in front of it has arrived") {
  Trace t = Trace::established();
  t.in(0, {.flags = F | A, .sequence = 21, .acknowledgement = 1, .length = 10}).state(State::established);
  t.out(0, {.sequence = 1, .acknowledgement = 1});
  t.in(5, {.sequence = 1, .acknowledgement = 1, .length = 20}).state(State::close_wait);
  CHECK(t.received == 30);
  CHECK(t.actions.finished);
  t.out(5, {.sequence = 1, .acknowledgement = 32});
}

TEST_CASE("after a full close text is thrown away, and answered by a reset once our FIN is acknowledged") {
  Trace t = Trace::established();
  close(t.tcb, Trace::at(0));
  t.out(0, {.flags = F | A, .sequence = 1, .acknowledgement = 1});
  t.in(5, {.sequence = 1, .acknowledgement = 1, .length = 100}).state(State::fin_wait_1);
  CHECK(t.received == 0);
  t.in(6, {.sequence = 101, .acknowledgement = 2}).state(State::fin_wait_2);
  CHECK(next_deadline(t.tcb) <= Trace::at(60'006));  // nobody waits for ever
  t.in(7, {.sequence = 101, .acknowledgement = 2, .length = 100}).state(State::closed);
  t.reply({.flags = R | A, .sequence = 2, .acknowledgement = 101});
}

TEST_CASE("RFC 5961: only a reset exactly at RCV.NXT counts, others are challenged, not too often") {
  Trace t = Trace::established();
  t.in(0, {.flags = R, .sequence = 20000}).state(State::established).silent(0);  // out of the window
  t.in(0, {.flags = R, .sequence = 500}).state(State::established);
  t.out(0, {.sequence = 1, .acknowledgement = 1});
  t.in(50, {.flags = R, .sequence = 501}).silent(50);  // limited
  t.in(150, {.flags = R, .sequence = 502}).out(150, {.sequence = 1, .acknowledgement = 1});
  t.in(160, {.flags = R, .sequence = 1}).state(State::closed);
  CHECK(t.actions.error == FlowError::reset);
}

TEST_CASE("RFC 5961: a SYN in a synchronised state is challenged") {
  Trace t = Trace::established();
  t.in(0, {.flags = S, .sequence = 100}).state(State::established).out(0, {.sequence = 1, .acknowledgement = 1});
  CHECK(t.actions.drop == Drop::syn_in_window);
}

TEST_CASE("RFC 5961: acknowledgements of what was never sent, or long ago, are challenged") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 2}).out(0, {.sequence = 1, .acknowledgement = 1});
  CHECK(t.actions.drop == Drop::bad_acknowledgement);
  t.in(200, {.sequence = 1, .acknowledgement = static_cast<std::uint32_t>(-20'000)});
  CHECK(t.actions.drop == Drop::bad_acknowledgement);
  t.in(300, {.flags = P, .sequence = 1, .length = 5});
  CHECK(t.actions.drop == Drop::no_acknowledgement);
}

TEST_CASE("RFC 1337: a reset does not end TIME-WAIT") {
  Trace t = Trace::established();
  shutdown(t.tcb);
  t.out(0, {.flags = F | A, .sequence = 1, .acknowledgement = 1});
  t.in(1, {.flags = F | A, .sequence = 1, .acknowledgement = 2}).state(State::time_wait);
  t.in(2, {.flags = R, .sequence = 2}).state(State::time_wait);
}

TEST_CASE("abort tells the peer from where it is") {
  Trace t = Trace::established();
  t.write(30).out(0, {.sequence = 1, .acknowledgement = 1, .length = 30});
  const auto reset = abort(t.tcb, Trace::at(1));
  REQUIRE(reset.has_value());
  CHECK(reset->sequence == Sequence{ours + 31});
  CHECK(reset->flags == (R | A));
  t.state(State::closed);
  CHECK(next_deadline(t.tcb) == never);
}

TEST_CASE("a segment for nobody is reset, RFC 9293 3.10.7.1; a reset never is") {
  const auto with = reset_for({.sequence = {10}, .acknowledgement = {20}, .flags = A, .length = 5});
  REQUIRE(with.has_value());
  CHECK((with->sequence == Sequence{20} && with->flags == R));
  const auto without = reset_for({.sequence = {10}, .flags = S, .length = 5});
  REQUIRE(without.has_value());
  CHECK((without->sequence == Sequence{0} && without->acknowledgement == Sequence{16} && without->flags == (R | A)));
  CHECK_FALSE(reset_for({.flags = R}).has_value());
}

TEST_CASE("keep-alive: a silent peer is probed, then given up") {
  Trace t = Trace::established();
  t.tcb.keep_alive_idle = 10s;
  t.tcb.deadlines.keep_alive = Trace::at(10'000);
  t.silent(9'999).out(10'000, {.sequence = 0, .acknowledgement = 1});
  t.in(10'010, {.sequence = 1, .acknowledgement = 1}).silent(20'009).out(20'010, {.sequence = 0, .acknowledgement = 1});
  for (int i = 1; i < 9; ++i) t.out(20'010 + i * 75'000, {.sequence = 0, .acknowledgement = 1});
  t.advance(20'010 + 9 * 75'000).state(State::closed);
  CHECK(t.actions.error == FlowError::timed_out);
}
