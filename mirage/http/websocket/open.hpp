// SPDX-License-Identifier: ISC
// Opening a WebSocket as a client (RFC 6455 section 4.1). Not here: wss, which is the same over a Tls<Flow>.
#pragma once

#include <mirage/http/client.hpp>
#include <mirage/http/websocket/handshake.hpp>
#include <mirage/http/websocket/session.hpp>

namespace mirage::http::websocket {

/// Asks for a WebSocket at "ws://host:port/path". Of the response tunnel() is what a Session of Role::client takes;
/// both must live as long as the session. `request` may bring headers of the application's; `protocols` is a list of
/// subprotocols. malformed: the answer does not open a WebSocket.
template <class C>
Task<Result<ClientResponse, ClientError>> open(C& client, std::string_view url, ClientRequest request = {},
                                               std::string_view protocols = {}) {
  constexpr std::string_view scheme = "ws://";
  Text<Url::maximum + 8> location{"http://{}", url.substr(scheme.size() < url.size() ? scheme.size() : url.size())};
  if (!equals_ignoring_case(url.substr(0, scheme.size()), scheme) || location.writer().truncated()) {
    co_return Failure{ClientError::bad_url};
  }
  if (!client.shard().has_random()) co_return Failure{ClientError::bad_request};
  std::array<std::byte, 16> nonce;
  client.shard().random().fill(nonce);
  KeyText key;
  encode_base64(key, nonce);
  if (!ask(request, key, protocols)) co_return Failure{ClientError::bad_request};
  auto response = co_await client.fetch(location, std::move(request));
  if (response && !is_accepted(response->head(), key, protocols)) co_return Failure{ClientError::malformed};
  co_return response;
}

}  // namespace mirage::http::websocket
