# SPDX-License-Identifier: ISC
# Rewrites the machine's own apt source entries of SUITE (and SUITE-updates, SUITE-security), component main, as
# one-line deb-src entries. Reads deb822 (*.sources) and one-line (*.list) files; other entries are left out.
# Usage: awk -v suite=bookworm -f apt-sources.awk FILE...

function wanted(name) { return name == suite || index(name, suite "-") == 1 || index(name, suite "/") == 1 }

function has_main(components) { return (" " components " ") ~ / main / }

function emit(options, uris, suites, components,   i, j, u, s, line) {
  if (!has_main(components)) return
  split(uris, u, /[ \t]+/)
  split(suites, s, /[ \t]+/)
  for (i = 1; i in u; i++)
    for (j = 1; j in s; j++) {
      if (u[i] == "" || !wanted(s[j])) continue
      line = "deb-src " (options == "" ? "" : "[" options "] ") u[i] " " s[j] " main"
      # Once per suite: apt refuses the same one with two different keyrings.
      if (!((u[i] " " s[j]) in seen)) print line
      seen[u[i] " " s[j]] = 1
    }
}

function end_stanza(   options) {
  # A keyring given by path is kept; an embedded key cannot stand on one line, apt's trusted keys must do.
  if (field["enabled"] !~ /^(no|false|0)$/ && field["uris"] != "") {
    if (field["signed-by"] ~ /^\//) options = "signed-by=" field["signed-by"]
    emit(options, field["uris"], field["suites"], field["components"])
  }
  delete field
}

FNR == 1 { end_stanza(); deb822 = FILENAME ~ /\.sources$/ }
/^[ \t]*#/ { next }

deb822 && /^[ \t]*$/ { end_stanza(); next }
deb822 && /^[A-Za-z-]+:/ {
  name = tolower(substr($0, 1, index($0, ":") - 1))
  value = substr($0, index($0, ":") + 1)
  gsub(/^[ \t]+|[ \t]+$/, "", value)
  field[name] = value
  next
}
deb822 && /^[ \t]/ { value = $0; gsub(/^[ \t]+|[ \t]+$/, "", value); field[name] = field[name] " " value; next }

!deb822 && /^deb(-src)?[ \t]/ {
  options = ""
  line = $0
  sub(/^deb(-src)?[ \t]+/, "", line)
  if (match(line, /^\[[^]]*\]/)) {
    # Only the keyring matters for source packages (arch= and friends do not).
    if (match(line, /signed-by=[^] \t]+/)) options = substr(line, RSTART, RLENGTH)
    sub(/^\[[^]]*\][ \t]*/, "", line)
  }
  split(line, word, /[ \t]+/)
  components = line
  sub(/^[^ \t]+[ \t]+[^ \t]+[ \t]*/, "", components)
  emit(options, word[1], word[2], components)
}

END { end_stanza() }
