// SPDX-License-Identifier: ISC
// User calls of the core: RFC 9293 section 3.10.1 to 3.10.5. None does I/O; what is to be sent comes out of
// next_departure() afterwards.
#pragma once

#include <mirage/net/tcp/segment.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

struct OpenParameters {
  Endpoint local;
  Endpoint remote;
  Sequence initial;                        ///< ISS, RFC 6528
  std::uint16_t send_segment_size = 0;     ///< largest payload that the path carries
  std::uint16_t receive_segment_size = 0;  ///< MSS to announce
  std::uint32_t receive_space = 0;         ///< bytes of an empty receive queue
  std::uint32_t largest_space = 0;         ///< to which that may grow; less than receive_space: it does not
  std::uint32_t timestamp_offset = 0;      ///< RFC 7323 section 5.4
  Algorithm congestion = Algorithm::cubic;
  bool offer_ecn = false;  ///< when opening actively; a peer that asks is always answered
};

/// OPEN, active: SYN-SENT.
[[nodiscard]] Tcb open_active(const OpenParameters& parameters, Time now) noexcept;
/// A SYN arrived for a listener: SYN-RECEIVED. Precondition: SYN set, ACK and RST not.
[[nodiscard]] Tcb open_passive(const OpenParameters& parameters, const Segment& syn, Time now) noexcept;
/// RFC 7413 section 4.2.2: the SYN came with a valid cookie and `length` bytes of text. Returns how many of them are
/// taken. The connection may send before the handshake is over.
[[nodiscard]] std::uint32_t accept_early(Tcb& tcb, std::uint32_t length) noexcept;
/// Our SYN or SYN,ACK goes again, and what went with it or behind it.
void synchronise_again(Tcb& tcb) noexcept;
/// The acknowledgement of a SYN,ACK that was sent without keeping anything (see cookie.hpp): as if the connection had
/// been in SYN-RECEIVED. `syn` is what the cookie tells of the peer's SYN.
[[nodiscard]] Tcb open_from_cookie(const OpenParameters& parameters, const Segment& syn, Time now) noexcept;
/// RFC 6191 section 2 and RFC 1122 section 4.2.2.13: whether a SYN in TIME-WAIT begins a new incarnation.
[[nodiscard]] bool is_new_incarnation(const Tcb& old, const Segment& syn) noexcept;
/// SEND: the application appended `bytes` to the send queue. Precondition: the connection may still send.
void written(Tcb& tcb, std::uint32_t bytes) noexcept;
/// What has been written so far is urgent: RFC 9293 section 3.8.5. New applications should not (RFC 6093 section 5).
void mark_urgent(Tcb& tcb) noexcept;
/// Bytes that the application has not read and that the peer calls urgent; `unread` bytes wait for it.
[[nodiscard]] std::uint32_t urgent_bytes(const Tcb& tcb, std::uint32_t unread) noexcept;
/// True until shutdown(), close() or the end of the connection.
[[nodiscard]] bool may_write(const Tcb& tcb) noexcept;
/// CLOSE of the sending direction: what is queued is still delivered, then a FIN.
void shutdown(Tcb& tcb) noexcept;
/// CLOSE of both: received text is no longer wanted. Text that arrives after our FIN is acknowledged resets.
void close(Tcb& tcb, Time now) noexcept;
/// ABORT: CLOSED at once; the RST to send, if the peer knows of the connection.
[[nodiscard]] std::optional<Departure> abort(Tcb& tcb, Time now) noexcept;
/// A segment for which there is no connection: RFC 9293 section 3.10.7.1; nothing in answer to a RST.
[[nodiscard]] std::optional<Departure> reset_for(const Segment& segment) noexcept;
/// Applies what a SYN says: IRS, options, window (never scaled in a SYN).
void take_syn(Tcb& tcb, const Segment& syn, Time now) noexcept;
/// Both SYNs are acknowledged.
void become_established(Tcb& tcb, Time now) noexcept;
/// The path carries less than thought (RFC 1191, RFC 8201), `segment_size` bytes behind a header without options:
/// smaller segments, and what is in flight again.
void shrink_segment_size(Tcb& tcb, std::uint16_t segment_size) noexcept;

}  // namespace mirage::net::tcp
