A project is made from a template.

  $ mirage new first
  Created first. Next: cd first && mirage configure -t spt && mirage build && mirage run
  $ ls -A first
  .gitignore
  config.cpp
  main.hpp
  $ cat first/config.cpp
  #include <mirage/config.hpp>

  using namespace mirage::config;

  Unikernel configure() {
    auto greeting = key<std::string>("greeting", "Hello from first!", "what to say");
    auto app = main_module("Hello", "main.hpp", takes<>, {greeting});
    return unikernel("first", app());
  }
  $ mirage new first
  mirage: 'first' exists already
    -> Choose another name.
  [1]
  $ mirage new second --template nothing
  mirage: there is no template 'nothing'
    -> Templates are: echo, hello, website.
  [2]
  $ mirage new 'third try'
  mirage: 'third try' is no name for a project
    -> Use letters, digits, '-' and '_'.
  [2]
  $ mirage new site --template website --json
  {"name":"site","files":["site/.gitignore","site/config.cpp","site/htdocs/index.html","site/htdocs/style.css","site/main.hpp"]}
  $ mirage new call --template echo -q

What cannot be written whole is not left in the way.

  $ (ulimit -f 0; trap '' XFSZ; mirage new large 2>&1) | sed 's|/[a-z.]*:|/FILE:|'; ls large
  mirage: cannot write large/FILE: File too large
  ls: cannot access 'large': No such file or directory
  [2]

Without a project, the commands say so.

  $ mirage configure
  mirage: there is no config.cpp here
    -> Change to a project's folder, or start one: mirage new NAME.
  [1]
  $ mirage build
  mirage: there is no config.cpp here
    -> Change to a project's folder, or start one: mirage new NAME.
  [1]
  $ mirage describe
  mirage: there is no config.cpp here
    -> Change to a project's folder, or start one: mirage new NAME.
  [1]

-f names the file, or its folder, from anywhere.

  $ mirage query name -f first/config.cpp && mirage query name -f first
  first
  first
  $ mirage query name -f first/site.cpp
  mirage: there is no first/site.cpp
    -> Change to a project's folder, or start one: mirage new NAME.
  [1]
  $ mirage clean -f forst/config.cpp
  mirage: there is no forst/config.cpp
    -> -f names a project's config.cpp, or its folder.
  [1]

Whatever its path is made of, what has not changed is not compiled again.

  $ cp -r first 'a $b #c' && mirage configure -q -f 'a $b #c' && stat -c %y 'a $b #c/build/config/program' >before
  $ mirage configure -q -f 'a $b #c' && stat -c %y 'a $b #c/build/config/program' | cmp - before
