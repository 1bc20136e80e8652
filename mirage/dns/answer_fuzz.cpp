// SPDX-License-Identifier: ISC
// Replies of any bytes to the question that they quote: what comes out has the form that Records can read.
#include <cstdlib>
#include <vector>

#include <mirage/dns/cache.hpp>
#include <mirage/dns/exchange.hpp>

using namespace mirage;
using namespace mirage::dns;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const Answer& answer, std::uint16_t type) {
  if (answer.kind != Answer::Kind::records) return;
  const Records records{answer.records};
  require(!records.empty());
  std::size_t bytes = 0;
  std::uint16_t rank = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    bytes += 2 + records.data(i).size();
    if (type == wire::dns_type::a || type == wire::dns_type::aaaa) require(records.data(i).size() == 16);
    if (type == wire::dns_type::mx) {
      require(records.mail(i).preference >= rank && wire::DnsName::from_text(records.mail(i).host).has_value());
      rank = records.mail(i).preference;
    }
    if (type == wire::dns_type::txt) records.each_text(i, [](Bytes text) { require(text.size() <= 255); });
  }
  require(bytes == answer.records.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto view = wire::DnsView::parse(std::as_bytes(std::span(data, size)));
  if (!view || !view->head().question) return 0;
  BufferPool pool{std::size_t{1} << 20};
  const wire::DnsQuestion& question = *view->head().question;
  const Answer answer = interpret(*view, question, pool);
  check(answer, question.type);
  Cache cache;
  const Time now{1s};
  (void)cache.insert(question, answer, now);
  if (const auto kept = cache.find(question, now, pool)) {
    require(kept->kind == answer.kind);
    check(*kept, question.type);
  }
  return 0;
}
