# SPDX-License-Identifier: ISC
# SQLite as one compilation unit (the amalgamation, made from Debian's source by SQLite's own makefile), without any
# operating system below it: mirage/store/sqlite registers the only VFS. What each option is for, and the globals that
# SQLite has: doc/sqlite.md.
sqlite_options() {
  echo -DSQLITE_OS_OTHER=1 -DSQLITE_THREADSAFE=0
  # Small: what a single connection without files, threads and plug-ins cannot use.
  echo -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_SHARED_CACHE -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_WAL
  echo -DSQLITE_OMIT_LOCALTIME -DSQLITE_OMIT_TCL_VARIABLE -DSQLITE_OMIT_TRACE -DSQLITE_OMIT_UTF16
  echo -DSQLITE_OMIT_GET_TABLE -DSQLITE_OMIT_COMPILEOPTION_DIAGS -DSQLITE_UNTESTABLE -DSQLITE_MAX_MMAP_SIZE=0
  # The VFS of sqlite3_deserialize wants another VFS at start.
  echo -DSQLITE_OMIT_DESERIALIZE
  # Everything temporary stays in memory: there is no file for it.
  echo -DSQLITE_TEMP_STORE=3 -DSQLITE_STMTJRNL_SPILL=-1
  # Commits without a journal on files with atomic batches.
  echo -DSQLITE_ENABLE_BATCH_ATOMIC_WRITE
  # Safe defaults: a misspelt column is no string, fsync for every commit, bounded recursion for a fiber's stack.
  echo -DSQLITE_DQS=0 -DSQLITE_DEFAULT_SYNCHRONOUS=3 -DSQLITE_DEFAULT_FOREIGN_KEYS=1 -DSQLITE_MAX_EXPR_DEPTH=100
  echo -DSQLITE_MAX_ATTACHED=1 -DSQLITE_LIKE_DOESNT_MATCH_BLOBS -DSQLITE_MAX_VARIABLE_NUMBER=999
  echo -DSQLITE_DEFAULT_CACHE_SIZE=-1024 -DSQLITE_DEFAULT_LOOKASIDE=1200,40 -DSQLITE_MAX_TRIGGER_DEPTH=32
}

build_port() {
  local options
  options=$(sqlite_options | tr '\n' ' ')
  mkdir "$work/generated"
  (cd "$work/generated" && make -f ../source/main.mk TOP=../source BCC="clang-19 -w" TCC=clang-19 TCCX="clang-19 -w" \
    OPTS="$options" sqlite3.c) >>"$log" 2>&1 || die "SQLite's amalgamation cannot be made"
  cp "$work/generated/sqlite3.c" "$ports/sqlite/none.c" .
  compile "$options" sqlite3.c none.c
  cp "$work/generated/sqlite3.h" "$root/include/"
  # bench/store compiles the same source for Linux, with the same flags but for what is below it.
  if [ "$arch" = native ]; then
    mkdir "$root/source"
    cp sqlite3.c "$root/source/"
    echo "$flags $options" >"$root/source/flags"
  fi
}
