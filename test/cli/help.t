The command, its version and its help.

  $ mirage --version
  mirage 0.1.0
  $ mirage version
  mirage 0.1.0
  $ mirage --help
  Builds and runs unikernels from config.cpp and a library operating system in C++.
  Usage: mirage [OPTIONS] SUBCOMMAND

  Options:
    -h,--help                   Print this help message and exit
    --version                   Display program version information and exit

  Subcommands:
    new                         start a project
    configure                   decide target and keys, generate the sources
    depend                      check the host's packages, build sysroot and libraries
    build                       build the image dist/NAME.TARGET
    clean                       remove what was generated and built
    run                         run the image; its own arguments stand after --
    describe                    show modules, keys and libraries
    query                       answer one question about the project
    symbolize                   resolve the addresses of a fault report
    version                     print the version
    store                       make, check, fill and read images of stores
    help                        tell about a command

  `mirage help COMMAND` tells more; the manual is mirage(1).
  $ mirage help clean
  remove what was generated and built
  Usage: mirage clean [OPTIONS]

  Options:
    -h,--help                   Print this help message and exit
    --json                      result for programs, on standard output
    -q,--quiet                  say nothing but errors
    -f,--file TEXT              configuration file, or its folder (default: config.cpp here)

  `mirage help COMMAND` tells more; the manual is mirage(1).
  $ mirage clean --help | head -1
  remove what was generated and built

  $ mirage help store format | head -3
  make an empty store
  Usage: mirage store format [OPTIONS] IMAGE
   
  $ mirage configure --help | head -2
  decide target and keys, generate the sources
  Usage: mirage configure [OPTIONS]
  $ mirage version --json
  {"version":"0.1.0"}

The manuals of the programs that it starts have their options.

  $ for program in mirage-spt mirage-hvt mirage-usernet; do
  >   diff <($program --help | grep -o -e '--[a-z][a-z-]*' | sort -u) <(grep -o 'Fl -[a-z][a-z-]*' "$MIRAGE_SOURCE/doc/man/$program.1" | sed 's/Fl -/--/' | sort -u) || echo $program
  > done

Wrong usage ends with status 2.

  $ mirage
  mirage: a command is required
    -> mirage --help tells what it takes.
  [2]
  $ mirage bild
  mirage: there is no command 'bild'
    -> Did you mean build?
  [2]
  $ mirage help store fromat
  mirage: there is no command 'store fromat'
    -> Did you mean format?
  [2]
  $ mirage run --memory=3
  mirage: unexpected argument '--memory=3'
    -> mirage run --help tells what it takes.
  [2]
  $ mirage run --memory=3 --json
  {"error":{"place":"","message":"unexpected argument '--memory=3'","mend":"mirage run --help tells what it takes."}}
  [2]
  $ mirage build -- argument
  mirage: unexpected argument 'argument'
    -> mirage build --help tells what it takes.
  [2]
  $ mirage build one 'two words' -x
  mirage: unexpected arguments 'one' 'two words' '-x'
    -> mirage build --help tells what it takes.
  [2]
  $ mirage version -f x
  mirage: unexpected arguments '-f' 'x'
    -> mirage version --help tells what it takes.
  [2]
  $ mirage --json version
  {"error":{"place":"","message":"there is no option '--json' in front of the command","mend":"Options stand behind it: mirage COMMAND --OPTION."}}
  [2]
  $ mirage store -q check disk.img
  mirage: there is no option '-q' in front of the command
    -> Options stand behind it: mirage COMMAND --OPTION.
  [2]
  $ mirage describe --dot --json
  {"error":{"place":"","message":"--json excludes --dot","mend":"mirage describe --help tells what it takes."}}
  [2]
  $ mirage run --help | grep -A1 -e --json -e '^What'
    --json                      result for programs, on standard output; the console goes to standard error
    -q,--quiet                  say nothing but errors
  --
  What stands after -- is the image's own command line: mirage run -- --help
  $ mirage query nonsense
  mirage: WHAT: nonsense not in {name,target,targets,image,keys,modules,devices,libraries,files,main,makefile}
    -> mirage query --help tells what it takes.
  [2]

  $ mirage configure --target
  mirage: --target needs a value
    -> mirage configure --help tells what it takes.
  [2]
  $ mirage new --template echo --template=hello name
  mirage: --template is given twice
    -> mirage new --help tells what it takes.
  [2]

What cannot be written is an error.

  $ mirage --help >/dev/full
  mirage: standard output: cannot be written
  [1]

Once: also what is longer than a buffer, and an error for programs.

  $ mirage new site --template website -q && cd site && mirage query main >/dev/full
  mirage: standard output: cannot be written
  [1]
  $ sed "s/takes<[^>]*>/takes<$(head -c 9000 /dev/zero | tr '\0' x)>/" config.cpp >long.cpp && mirage query name --json -f long.cpp >/dev/full
  mirage: standard output: cannot be written
  [1]

Where errors cannot be written, they are errors.

  $ mirage bild 2>/dev/full
  [2]
  $ mirage bild 2>&-
  [2]
  $ mirage query nothing --json 2>&- >&-
  [2]

What is closed does not become what the command opens, the folder that it locks for instance.

  $ mkdir bin && printf '#!/bin/sh\nreadlink /proc/$PPID/fd/[12] >>opened; exit 1\n' >bin/clang++-19 && chmod +x bin/clang++-19
  $ PATH=$PWD/bin:$PATH MIRAGE_CACHE=$PWD/cache mirage configure >&- 2>&-; sort -u opened
  /dev/null
