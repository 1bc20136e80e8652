// SPDX-License-Identifier: ISC
#include <bit>
#include <cstring>

#include <mirage/http/websocket/handshake.hpp>

namespace mirage::http::websocket {
namespace {

constexpr std::string_view identifier = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::string_view version = "13";
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

using Hash = std::array<std::uint32_t, 5>;

void sha1_block(Hash& hash, Bytes block) noexcept {
  std::array<std::uint32_t, 80> w;
  for (std::size_t i = 0; i < 16; ++i) w[i] = load_big<std::uint32_t>(block, i * 4);
  for (std::size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  auto [a, b, c, d, e] = hash;
  for (std::size_t i = 0; i < 80; ++i) {
    const std::uint32_t f = i < 20   ? (b & c) | (~b & d)
                            : i < 40 ? b ^ c ^ d
                            : i < 60 ? (b & c) | (b & d) | (c & d)
                                     : b ^ c ^ d;
    constexpr std::array<std::uint32_t, 4> k{0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    const std::uint32_t next = std::rotl(a, 5) + f + e + k[i / 20] + w[i];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  }
  hash = {hash[0] + a, hash[1] + b, hash[2] + c, hash[3] + d, hash[4] + e};
}

/// 16 bytes in base64: 22 characters, of which the last carries four bits, and "==".
bool is_key(std::string_view key) noexcept {
  if (key.size() != 24 || !key.ends_with("==")) return false;
  return key.substr(0, 22).find_first_not_of(alphabet) == std::string_view::npos && alphabet.find(key[21]) % 16 == 0;
}

Response refuse(std::uint16_t status, std::string_view text) noexcept { return Response::text(status, text); }

std::string_view view(std::span<const char> text) noexcept { return {text.data(), text.size()}; }

}  // namespace

std::array<std::byte, 20> sha1(Bytes bytes) noexcept {
  Hash hash{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const std::uint64_t bits = std::uint64_t{bytes.size()} * 8;
  for (; bytes.size() >= 64; bytes = bytes.subspan(64)) sha1_block(hash, bytes.first(64));
  std::array<std::byte, 128> tail{};
  if (!bytes.empty()) std::memcpy(tail.data(), bytes.data(), bytes.size());
  tail[bytes.size()] = std::byte{0x80};
  const std::size_t size = bytes.size() < 56 ? 64 : 128;
  store_big(MutableBytes{tail}, size - 8, bits);
  for (std::size_t at = 0; at < size; at += 64) sha1_block(hash, Bytes{tail}.subspan(at, 64));
  std::array<std::byte, 20> out{};
  for (std::size_t i = 0; i < hash.size(); ++i) store_big(MutableBytes{out}, i * 4, hash[i]);
  return out;
}

void encode_base64(std::span<char> out, Bytes bytes) noexcept {
  std::size_t to = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t there = bytes.size() - at < 3 ? bytes.size() - at : 3;
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < there ? std::to_integer<unsigned>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out[to++] = i <= there ? alphabet[group >> (18 - 6 * i) & 63U] : '=';
    }
  }
}

AcceptText accept_text(std::string_view key) noexcept {
  const Text<24 + identifier.size()> text{"{}{}", key.substr(0, 24), identifier};
  AcceptText out;
  encode_base64(out, sha1(as_bytes(text.view())));
  return out;
}

Response accept(const Request& request, std::unique_ptr<Upgrade> session, std::string_view protocol) noexcept {
  if (request.method != Method::get) return refuse(405, "a WebSocket begins with GET\n");
  if (!request.asks_for("websocket")) {
    Response response = refuse(426, "this is a WebSocket\n");
    (void)response.headers.add_upgrade("websocket");
    return response;
  }
  if (request.header("sec-websocket-version") != version) {
    Response response = refuse(426, "another version\n");  // section 4.4
    (void)response.headers.add_upgrade("websocket");
    (void)response.headers.add("Sec-WebSocket-Version", version);
    return response;
  }
  const auto key = request.header("sec-websocket-key");
  if (!key || !is_key(*key)) return refuse(400, "bad key\n");
  if (!session) return Response::no_memory();
  Response response;
  response.status = 101;
  const AcceptText accepted = accept_text(*key);
  (void)response.headers.add("Sec-WebSocket-Accept", view(accepted));
  if (!protocol.empty()) (void)response.headers.add("Sec-WebSocket-Protocol", protocol);
  response.upgrade = std::move(session);
  return response;
}

bool ask(ClientRequest& request, const KeyText& key, std::string_view protocols) noexcept {
  request.method = "GET";
  request.upgrade = "websocket";
  return request.headers.add("Sec-WebSocket-Key", view(key)) && request.headers.add("Sec-WebSocket-Version", version) &&
         (protocols.empty() || request.headers.add("Sec-WebSocket-Protocol", protocols));
}

bool is_accepted(const ResponseHead& head, const KeyText& key, std::string_view protocols) noexcept {
  // Section 4.1, the list behind "If the status code received from the server is not 101".
  if (head.status != 101 || !equals_ignoring_case(head.upgrade, "websocket")) return false;
  if (head.header("sec-websocket-accept") != view(accept_text(view(key)))) return false;
  if (head.header("sec-websocket-extensions")) return false;
  const auto chosen = head.header("sec-websocket-protocol");
  return !chosen || list_contains(protocols, *chosen);
}

}  // namespace mirage::http::websocket
