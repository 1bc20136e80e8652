// SPDX-License-Identifier: ISC
#include <mirage/async/scope.hpp>

namespace mirage {

// Not inline: every task refers to it, whether or not its source knows scopes.
void detail::PromiseBase::child_finished(Scope& scope) noexcept { scope.finished(); }

}  // namespace mirage
