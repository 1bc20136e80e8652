// SPDX-License-Identifier: ISC
// The opening handshake of WebSocket (RFC 6455 section 4).
#pragma once

#include <array>
#include <string_view>

#include <mirage/base/bytes.hpp>
#include <mirage/http/client_message.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>

namespace mirage::http::websocket {

/// Text of Sec-WebSocket-Key and Sec-WebSocket-Accept.
using KeyText = std::array<char, 24>;
using AcceptText = std::array<char, 28>;

/// SHA-1 (RFC 3174). The handshake's only; it protects nothing.
[[nodiscard]] std::array<std::byte, 20> sha1(Bytes bytes) noexcept;
/// RFC 4648 section 4. Precondition: `out` has room for four characters per three bytes begun.
void encode_base64(std::span<char> out, Bytes bytes) noexcept;
/// What answers a key (section 4.2.2 number 5.4).
[[nodiscard]] AcceptText accept_text(std::string_view key) noexcept;

/// Answers a request for a WebSocket: 101 with `session` taking over, or the refusal (sections 4.2.1, 4.4): 400, 405 or
/// 426. Whether the Origin may have a WebSocket is the application's to decide before. `protocol`: the subprotocol that
/// the application has chosen from Sec-WebSocket-Protocol, or empty. `session` must be of protocol "websocket".
[[nodiscard]] Response accept(const Request& request, std::unique_ptr<Upgrade> session,
                              std::string_view protocol = {}) noexcept;

/// Makes `request` one for a WebSocket with this key (section 4.1); false when its headers have no room.
[[nodiscard]] bool ask(ClientRequest& request, const KeyText& key, std::string_view protocols) noexcept;
/// Whether the answer opens it: 101, the right accept text, a subprotocol only if `protocols` has it, no extension.
[[nodiscard]] bool is_accepted(const ResponseHead& head, const KeyText& key, std::string_view protocols) noexcept;

}  // namespace mirage::http::websocket
