#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto greeting = key<std::string>("greeting", "Hello from @NAME@!", "what to say");
  auto app = main_module("Hello", "main.hpp", takes<>, {greeting});
  return unikernel("@NAME@", app());
}
