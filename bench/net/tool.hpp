// SPDX-License-Identifier: ISC
// The commands of bench_net: what the network benchmark compares with, and what loads both. Each runs until it is
// ended, unless it says otherwise, and exits with status 1 when its arguments or the host do not let it run.
#pragma once

namespace bench {

/// A command's arguments follow its name and end with a null pointer. Returns the exit status.
using Command = int (*)(int count, char** arguments);

/// "canned TAP": the ceiling. Answers HTTP requests, UDP datagrams (echo), ARP and echo requests on 10.0.0.2 without
/// keeping any state: one read and one write per request, blocking, vnet headers, checksums left to the host.
int canned(int count, char** arguments);
/// "plain-sink TAP", "plain-source TAP": the end of one TCP connection on a tap without offloads, which throws away
/// what comes, or sends without end. No retransmission timer, no reassembly.
int plain_sink(int count, char** arguments);
int plain_source(int count, char** arguments);
/// "plain-tap TAP COMMAND...": runs a command with descriptor 9 on a tap without vnet headers and offloads.
int plain_tap(int count, char** arguments);
/// "relay TAP TAP": moves frames with vnet headers and offloads both ways.
int relay(int count, char** arguments);
/// "udp-echo PORT": recvmmsg(2) and sendmmsg(2), 64 at a time.
int datagram_echo(int count, char** arguments);
/// "udp-client ADDRESS PORT SECONDS OUTSTANDING": keeps that many datagrams of 64 bytes on their way; prints answers
/// per second.
int datagram_client(int count, char** arguments);
/// "udp-flood ADDRESS PORT SECONDS RATE": datagrams of 64 bytes at that many per second (0: as many as go), 32 a call
/// (UDP_SEGMENT); prints how many were sent per second.
int datagram_flood(int count, char** arguments);
/// "stream-server SINK-PORT SOURCE-PORT": the Linux end of a bulk transfer.
int stream_server(int count, char** arguments);
/// "stream-client ADDRESS PORT send|receive SECONDS": prints bytes per second.
int stream_client(int count, char** arguments);

}  // namespace bench
