What bash completes is what the commands take, all of it and nothing else.

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
