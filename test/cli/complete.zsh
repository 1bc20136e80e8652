#!/usr/bin/env zsh
# SPDX-License-Identifier: ISC
# What zsh would complete, one a line: complete.zsh FOLDER LINE. FOLDER has the completion functions.
zmodload zsh/zpty || exit 2
zpty z zsh -f -i
() {
  zpty -w z "fpath=(${(q)2} \$fpath); source $1"
  repeat 20; do
    zpty -r z line
    [[ $line == ok* ]] && return
  done
  exit 2
} =(<<'SETUP'
PROMPT=
autoload compinit
compinit -u -D
bindkey '^M' undefined
bindkey '^J' undefined
bindkey '^I' complete-word
mark() { echo -E - $'\0' }
compprefuncs=(mark)
comppostfuncs=(mark exit)
zstyle ':completion:*' insert-tab false
compadd() {
  # Who asks which would match gets an answer; only what would be shown is printed.
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
    builtin compadd "$@"
    return
  fi
  typeset -a hits
  builtin compadd -A hits "$@"
  (( $#hits )) && print -rl - $hits
  return $(( ! $#hits ))
}
echo ok
SETUP
) $1
zpty -w z "$2"$'\t'
seen=0
while zpty -r z; do :; done | while IFS= read -r line; do
  if [[ $line == *$'\0'* ]]; then
    (( seen++ )) && exit
  elif (( seen )); then
    print -r - ${line%$'\r'}
  fi
done
