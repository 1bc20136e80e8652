Who works in a project's folder has it alone; the others wait, and say so.

  $ mirage new hello -q && cd hello && mirage configure -q
  $ sed -i '1i #include <cstdlib>' config.cpp && sed -i 's/^Unikernel configure() {/&\n  (void)std::system("while [ -e busy ]; do sleep 0.05; done");/' config.cpp
  $ until_it() { for try in $(seq 1000); do "$@" && return; sleep 0.05; done; echo "never: $*"; }
  $ held() { ! flock -n build true; }
  $ touch busy; mirage configure -q --greeting=first & until_it held
  $ mirage configure --greeting=second >second 2>&1 & until_it grep -qs . second; sed "s|$PWD|PROJECT|" second; grep greeting build/context.json
  mirage: waiting for another mirage that works in PROJECT/build
  [1]
  $ rm busy; wait; tail -1 second; grep greeting build/context.json
  Configured hello for spt. Next: make depend && make, or: mirage build
      "greeting": "second"

A question does not wait, and what is asked with -q waits without a word.

  $ touch holds; flock build sh -c 'while [ -e holds ]; do sleep 0.05; done' & until_it held
  $ mirage query keys | grep greeting
  greeting=second
  $ (sleep 1; rm holds) & mirage configure -q --greeting=third; ls holds; wait
  ls: cannot access 'holds': No such file or directory

The one that was waited for has cleaned: there is nothing to build.

  $ touch holds; flock build sh -c 'while [ -e holds ]; do sleep 0.05; done; rm -r build' & until_it held
  $ mirage build >build.log 2>&1 & until_it grep -qs . build.log; rm holds; wait; tail -2 build.log; ls build
  mirage: this project is not configured
    -> Run: mirage configure -t TARGET [--KEY=VALUE ...].
  ls: cannot access 'build': No such file or directory
  [2]

An image that runs keeps nobody from working.

  $ mirage configure -q -t unix && mkdir dist && printf '#!/bin/sh\ntouch runs; while [ -e runs ]; do sleep 0.05; done\n' >dist/hello && chmod +x dist/hello
  $ mirage run -q & until_it test -e runs; mirage configure && rm runs; wait
  Configured hello for spt. Next: make depend && make, or: mirage build
