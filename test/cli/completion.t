What shells complete is what the commands take, all of it and nothing else: bash, and those of zsh and fish that are here.

  $ . "$MIRAGE_SOURCE/cli/completion/mirage.bash"; compopt() { :; }
  $ taken() { mirage "$@" --help | sed -n '/^Keys/,$d; s/^  *\(-[a-z],\)\?\(--[a-z-]*\).*/\2/p'; }
  $ completed() { COMP_WORDS=(mirage "$@" --); COMP_CWORD=$(($# + 1)); _mirage; printf '%s\n' "${COMPREPLY[@]}" | grep -vx -e -- -e '.*='; }
  $ compared() { diff <(taken "$@" | sort) <(completed "$@" | sort) || echo "mirage $*"; }
  $ for command in new configure depend build run describe query clean symbolize version; do compared $command; done
  $ for command in format check list import export cat set remove; do compared store $command; done
  $ commands() { mirage "$@" --help | sed -n '/^Subcommands/,/^$/s/^  \([a-z]*\) .*/\1/p' | sort; }
  $ COMP_WORDS=(mirage ''); COMP_CWORD=1; _mirage; commands | diff - <(printf '%s\n' "${COMPREPLY[@]}" | grep -v ^- | sort)
  $ COMP_WORDS=(mirage store ''); COMP_CWORD=2; _mirage; commands store | diff - <(printf '%s\n' "${COMPREPLY[@]}" | sort)

So are values that an option has few of.

  $ values() { COMP_WORDS=(mirage "$@" ''); COMP_CWORD=$(($# + 1)); _mirage; printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd,; }
  $ choice() { mirage "$@" --help | grep -o -e "$option TEXT:{[^}]*" | sed 's/.*{//' | tr , '\n' | sort | paste -sd,; }
  $ option=--type; diff <(values store list --type) <(choice store list)
  $ option=--accel; diff <(values run --accel) <(choice run)

The same of the others, asked for what they would show behind a line.

  $ fish_shows() { fish --no-config -c "source $MIRAGE_SOURCE/cli/completion/mirage.fish; complete -C '$1'" | cut -f1; }
  $ zsh_shows() { zsh -f "$MIRAGE_SOURCE/test/cli/complete.zsh" "$MIRAGE_SOURCE/cli/completion" "$1" | tr -d '\r'; }
  $ both() { for shell in fish zsh; do ! command -v $shell >/dev/null || diff <("$@" | sort) <(${shell}_shows "$line" | grep -v '=$' | sort) || echo "$shell: $line"; done; }
  $ for command in new configure depend build run describe query clean symbolize version; do line="mirage $command --"; both taken $command; done
  $ for command in format check list import export cat set remove; do line="mirage store $command --"; both taken store $command; done
  $ line='mirage '; both commands; line='mirage store '; both commands store; line='mirage help store '; both commands store; line='mirage --'; both printf -- '--help\n--version\n'
  $ split() { choice "$@" | tr , '\n'; }; option=--type; line='mirage store list --type '; both split store list
  $ option=--accel; line='mirage run --accel '; both split run
  $ line='mirage run --net '; both true
