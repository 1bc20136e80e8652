Wrong wiring is an error of a few lines, with the place and the mend.

  $ mirage new wrong --template website -q && cd wrong

A block device where a stack belongs.

  $ sed -i 's/default_stack()/block("disk")/' config.cpp
  $ mirage configure
  mirage: config.cpp:8: no matching function for call to object of type 'Functor<Job, Stack, KvRo>'
    no known conversion from 'Module<Block>' to 'Module<Stack>' for 1st argument
      8 |   return unikernel("wrong", app(block("disk"), crunch("htdocs")));
        |                             ^~~
    -> Argument 1 must be a Stack, and a Block was given: check the order of the arguments against takes<...>.
  [1]

Too few modules.

  $ sed -i 's/block("disk"), //' config.cpp
  $ mirage configure
  mirage: config.cpp:8: no matching function for call to object of type 'Functor<Job, Stack, KvRo>'
    requires 2 arguments, but 1 was provided
      8 |   return unikernel("wrong", app(crunch("htdocs")));
        |                             ^~~
    -> The functor takes 2 modules; 1 was given.
  [1]

A name that does not exist.

  $ sed -i 's/app(crunch/app(default_stak(), crunch/' config.cpp
  $ mirage configure
  mirage: config.cpp:8: use of undeclared identifier 'default_stak'; did you mean 'default_stack'?
      8 |   return unikernel("wrong", app(default_stak(), crunch("htdocs")));
        |                                 ^~~~~~~~~~~~
        |                                 default_stack
  [1]

A directory that does not exist.

  $ sed -i 's/default_stak/default_stack/; s/crunch("htdocs")/crunch("pages")/' config.cpp
  $ mirage configure
  mirage: config.cpp:8: there is no directory 'pages' to link in
    -> Paths are taken from the project's folder.
  [1]

A link in a directory that leads nowhere, or to itself; hidden ones are an editor's.

  $ sed -i 's/crunch("pages")/crunch("htdocs")/' config.cpp && ln -s nowhere 'htdocs/.#index.html' && mirage configure -q
  $ for to in nowhere more.html; do ln -sf $to htdocs/more.html; mirage configure 2>&1 | sed "s|$PWD/||"; done; rm htdocs/more.html htdocs/.#*
  mirage: config.cpp:8: cannot read htdocs/more.html: No such file or directory
  mirage: config.cpp:8: cannot read htdocs/more.html: Too many levels of symbolic links

All that the compiler finds is shown at once.

  $ cp config.cpp good.cpp && sed -i 's/default_stack()/block("disk")/; s/key<std::uint16_t>/key<double>/; s/  auto app/  auto more = stak();\n  auto app/' config.cpp
  $ mirage configure
  mirage: config.cpp:6: no matching function for call to 'key'
    constraints not satisfied for class template 'Key' [with T = double]
      6 |   auto port = key<double>("port", 80, "TCP port to listen on");
        |               ^~~~~~~~~~~
    -> A key is a bool, an integer, a std::string, a std::chrono duration, or an Ipv4Address, Ipv4Prefix, IpAddress or IpPrefix.
  mirage: config.cpp:7: use of undeclared identifier 'stak'
      7 |   auto more = stak();
        |               ^
    -> Does config.cpp begin with #include <mirage/config.hpp> and `using namespace mirage::config;`?
  [1]
  $ mirage configure --json | python3 -c 'import json, sys; error = json.load(sys.stdin)["error"]; print(error["place"], *[each["place"] for each in error["more"]])'
  config.cpp:6 config.cpp:7

What the compiler would only warn of, and what no configuration ever takes.

  $ sed 's/80/70000/' good.cpp >config.cpp && mirage configure
  mirage: config.cpp:6: implicit conversion from 'int' to 'type_identity_t<unsigned short>' (aka 'unsigned short') changes value from 70000 to 4464 [-Werror,-Wconstant-conversion]
      6 |   auto port = key<std::uint16_t>("port", 70000, "TCP port to listen on");
        |               ~~~                        ^~~~~
  [1]
  $ sed 's/return //' good.cpp >config.cpp && mirage configure
  mirage: config.cpp:9: non-void function does not return a value [-Werror,-Wreturn-type]
      9 | }
        | ^
  [1]
  $ sed 's/default_stack()/if_(target_is("linux"), stack(netif("a")), default_stack())/' good.cpp >config.cpp && mirage configure
  mirage: config.cpp:8: there is no target 'linux'
    -> Targets are: hvt, spt, unix, virtio.
  [1]
  $ sed 's/  auto app/  auto kind = choice_key("kind", {"blog", "shop"}, "which site");\n  auto app/; s/crunch("htdocs")/match_<KvRo>(kind, {{"shpo", mem(8)}}, crunch("htdocs"))/' good.cpp >config.cpp && mirage configure
  mirage: config.cpp:9: --kind is never 'shpo'
    -> It is blog or shop (config.cpp:7).
  [1]
  $ mv good.cpp config.cpp

A module of the library and its parameters, misspelt.

  $ sed 's/default_stack()/stack(library_module<Net>("falt", {netif("a").node()}))/' config.cpp >falt.cpp && mirage query name -f falt.cpp
  mirage: falt.cpp:8: target spt has no module 'falt'
    -> Did you mean fault?
  [1]
  $ sed 's/"falt", {netif("a").node()}/"fault", {netif("a").node()}, {{"los", 1}}/' falt.cpp >los.cpp && mirage query name -f los.cpp
  mirage: los.cpp:8: module 'fault' has no parameter 'los'
    -> Did you mean loss?
  [1]
  $ sed 's/"los", 1/"rate", 1/' los.cpp >rate.cpp && mirage query name -f rate.cpp; rm falt.cpp los.cpp rate.cpp
  mirage: rate.cpp:8: module 'fault' has no parameter 'rate'
    -> It has: seed, loss, duplicate, reorder, corrupt.

A header that does not exist.

  $ sed -i 's/main\.hpp/mian.hpp/' config.cpp
  $ mirage configure
  mirage: config.cpp:7: there is no file 'mian.hpp'
    -> Headers and sources are looked for in the project's folder.
  [1]

The same key twice.

  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > Unikernel configure() {
  >   auto a = key<std::uint16_t>("port", 80, "one");
  >   auto b = key<std::uint16_t>("port", 81, "two");
  >   return unikernel("twice", main_module("Main", "main.hpp", takes<>, {a, b})());
  > }
  > END
  $ mirage configure
  mirage: config.cpp:5: key --port is declared twice, first at config.cpp:4
    -> Declare it once and use the variable in both places.
  [1]

A default that does not fit, a name that is taken, a device name that no tender accepts.

  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > Unikernel configure() {
  >   auto address = key<Ipv4Address>("address", {"10.0.0"}, "where");
  >   return unikernel("bad", main_module("Main", "main.hpp", takes<>, {address})());
  > }
  > END
  $ mirage configure
  mirage: config.cpp:4: bad default '10.0.0' for key --address: expected an IPv4 address such as 10.0.0.1
  [1]
  $ sed -i 's/"address", {"10.0.0"}/"help", {"10.0.0.1"}/' config.cpp
  $ mirage configure
  mirage: config.cpp:4: the key name 'help' is taken
    -> Choose another.
  [1]
  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > Unikernel configure() {
  >   return unikernel("disks", main_module("Main", "main.hpp", takes<Block>)(block("my disk")));
  > }
  > END
  $ mirage configure
  mirage: config.cpp:4: 'my disk' is no name for a device
    -> Use 1 to 67 letters and digits.
  [1]
  $ sed -i 's/my disk/disk/' config.cpp
  $ mirage configure
  Configured disks for spt. Next: make depend && make, or: mirage build
  $ mirage run --dry-run
  mirage: config.cpp:4: the disk 'disk' has no file
    -> Say --block disk=FILE.
  [1]
  $ touch disk.img
  $ mirage run --dry-run --block disk=disk.img | sed 's|/[^ ]*/mirage-spt|mirage-spt|'
  mirage-spt --mem=32 --block:disk=disk.img -- ./dist/disks.spt
  $ mirage run --dry-run --block dosk=disk.img
  mirage: the image has no block device 'dosk'
    -> It has: disk.
  [2]
  $ mirage run --dry-run --net service=tap0 --block disk=disk.img
  mirage: the image has no net device 'service'
    -> It has none of this type.
  [2]
  $ mirage run --dry-run --block disk=disk.img -p 8080:80
  mirage: -p forwards ports of a user-mode network, and the image has none
    -> Its configuration has no network device.
  [1]

What an image takes is known without its devices.

  $ mkdir -p dist && touch dist/disks.spt && mirage run -q -- --help
  disks: options
    --name=VALUE           name of this unikernel, in logs and to the network; text (default: disks)
    --logs=VALUE           what to log; LEVEL or SOURCE:LEVEL, separated by commas; levels are quiet, error, warning, info, debug (default: info)
    --delay=VALUE          wait before starting; a duration such as 500ms, 10s or 2m (default: 0s)
  [63]
  $ mirage run -q -- --logs=debug
  mirage: config.cpp:4: the disk 'disk' has no file
    -> Say --block disk=FILE.
  [1]
  $ rm dist/disks.spt

A choice by a key: what is not taken is not there.

  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > Unikernel configure() {
  >   auto site = configure_key<std::string>("site", "blog", "which site");
  >   auto files = match_<KvRo>(site, {{"shop", crunch("shop")}}, crunch("htdocs"));
  >   auto app = main_module("Main", "main.hpp", takes<KvRo, KvRo>);
  >   return unikernel("sites", app(files, crunch("htdocs")));
  > }
  > END
  $ mirage configure -q && mirage query modules
  crunch 'htdocs': mirage::store::Crunch
  Main: Main<CrunchType, CrunchType>
  $ mkdir shop && mirage configure -q --site=shop && mirage query modules
  crunch 'shop': mirage::store::Crunch
  crunch 'htdocs': mirage::store::Crunch
  Main: Main<CrunchType, Crunch2Type>

A stack on several networks takes interfaces, each once.

  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > Unikernel configure() {
  >   auto net = stack(interface("front"), interface("back"));
  >   return unikernel("two", main_module("Main", "main.hpp", takes<Stack>)(net));
  > }
  > END
  $ mirage configure -q && mirage query modules
  network 'front': mirage::target::spt::Net
  offload: mirage::device::Offload
  interface 'front': mirage::net::Interface
  network 'back': mirage::target::spt::Net
  offload: mirage::device::Offload
  interface 'back': mirage::net::Interface
  multihomed_stack: mirage::net::BasicStack<2>
  Main: Main<MultihomedStackType>
  $ sed -i 's/interface("back")/netif("back")/' config.cpp && mirage configure
  mirage: config.cpp:4: no matching function for call to 'stack'
    no known conversion from 'Module<Net>' to 'Module<Interface>' for 2nd argument
    no known conversion from 'Module<Interface>' to 'Module<Net>' for 1st argument
      4 |   auto net = stack(interface("front"), netif("back"));
        |              ^~~~~
    -> A stack on several networks takes interfaces: stack(interface("front"), interface("back")).
  [1]
  $ sed -i 's/netif("back")/interface("front")/' config.cpp && mirage configure
  mirage: config.cpp:4: interface 'front' is attached twice
    -> An interface belongs to one stack, and once.
  [1]

A device that the target does not have.

  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > Unikernel configure() {
  >   return unikernel("sockets", main_module("Main", "main.hpp", takes<Stack>)(socket_stack()));
  > }
  > END
  $ mirage configure -t spt
  mirage: config.cpp:4: target spt has no module 'socket_stack'
    -> Targets that have it: unix.
  [1]

A configuration that is none.

  $ echo 'int x;' > config.cpp
  $ mirage configure
  mirage: config.cpp: use of undeclared identifier 'mirage'
    -> Does config.cpp begin with #include <mirage/config.hpp> and `using namespace mirage::config;`?
  [1]

What the compiler warns of is shown, once; what configure() writes to standard error, each time.

  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > [[deprecated("say more")]] std::string words() { return "Main"; }
  > Unikernel configure() {
  >   std::fputs("so be it\n", stderr);
  >   if (std::getenv("FAULT")) *static_cast<volatile int*>(nullptr) = 1;
  >   if (std::getenv("STATUS")) std::exit(std::atoi(std::getenv("STATUS")));
  >   return unikernel("warns", main_module(words(), "main.hpp", takes<>)());
  > }
  > END
  $ mirage configure 2>&1 | sed 's/^[^ ]*config.cpp/config.cpp/'
  config.cpp:8:41: warning: 'words' is deprecated: say more [-Wdeprecated-declarations]
      8 |   return unikernel("warns", main_module(words(), "main.hpp", takes<>)());
        |                                         ^
  config.cpp:3:3: note: 'words' has been explicitly marked deprecated here
      3 | [[deprecated("say more")]] std::string words() { return "Main"; }
        |   ^
  1 warning generated.
  so be it
  Configured warns for spt. Next: make depend && make, or: mirage build
  $ mirage query name; mirage query name -q
  so be it
  warns
  warns

A configure() that does not end well: how, and what was written and warned of before.

  $ FAULT=1 mirage configure 2>&1 | sed 's/^[^ ]*config.cpp/config.cpp/; s/-> .*config.cpp/-> config.cpp/'
  mirage: config.cpp: configure() was ended by SIGSEGV (Segmentation fault)
    -> so be it
  config.cpp:8:41: warning: 'words' is deprecated: say more [-Wdeprecated-declarations]
      8 |   return unikernel("warns", main_module(words(), "main.hpp", takes<>)());
        |                                         ^
  config.cpp:3:3: note: 'words' has been explicitly marked deprecated here
      3 | [[deprecated("say more")]] std::string words() { return "Main"; }
        |   ^
  1 warning generated.
  $ STATUS=3 mirage configure 2>&1 | head -2
  mirage: config.cpp: configure() ended with status 3
    -> so be it
  $ STATUS=0 mirage configure
  mirage: config.cpp: configure() ended the program
    -> It returns a Unikernel.
  [1]
