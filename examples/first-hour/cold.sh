#!/bin/sh
# The README's two commands where nothing is there yet: a fresh clone, an empty home
# and empty caches of Go. It prints a table of how long each step takes and what is
# fetched.
#
#     examples/first-hour/cold.sh         make demo, then make test
#     examples/first-hour/cold.sh demo    make demo alone
#
# Where modules and packages come from is asked of Go and npm before the home is
# emptied, and stays as it is; proxies named by environment variables do too.
set -eu
project=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

for name in GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB GOINSECURE GOVCS GOTOOLCHAIN GOFLAGS; do
	export "$name=$(go env "$name")"
done
[ ! -f "$HOME/.npmrc" ] || export NPM_CONFIG_USERCONFIG="${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc}"
mkdir "$work/home"
export HOME="$work/home" GOENV=off GOPATH="$work/go" GOMODCACHE="$work/go/pkg/mod" GOCACHE="$work/go-build"
unset XDG_CACHE_HOME XDG_CONFIG_HOME VIRTUAL_ENV ONNXRUNTIME_SHARED_LIBRARY_PATH ORT_DYLIB_PATH
unset MEDPROBE_ORT_LIB MEDPROBE_CACHE MEDPROBE_ENCODERS MEDPROBE_REGISTRY

commands=0
# timed LOG COMMAND...: its lines on standard error and, each behind the second that it
# came in, in the log, between the command and "done".
timed() {
	log="$work/$1.log"
	shift
	commands=$((commands + 1))
	{
		echo "\$ $*"
		if "$@" 2>&1; then echo done; else echo "failed with $?"; fi
	} | while IFS= read -r line; do
		printf '%s\n' "$line" >&2
		printf '%d %s\n' "$(date +%s)" "$line"
	done >"$log"
	[ "$(tail -n 1 "$log" | cut -d' ' -f2-)" = done ] || exit 1
}
# at LOG TEXT: the second in which the first line that begins with the text came.
at() { awk -v text="$2" 'index($0, $1 " " text) == 1 { print $1; exit }' "$work/$1.log"; }
# row WHAT LOG FROM UNTIL BYTES: the seconds between two lines, and megabytes.
row() {
	from=$(at "$2" "$3") until=$(at "$2" "$4")
	[ -n "$from" ] && [ -n "$until" ] || { echo "cold.sh: $1: no line begins with '$3' or '$4'" >&2; exit 1; }
	printf '| %s | %d | %s |\n' "$1" $((until - from)) "$(awk -v n="${5:-0}" 'BEGIN { if (n > 0) printf "%.1f MB", n / 1e6 }')"
}
# bytes FOLDER: of all files in it.
bytes() { find "$1" -type f -exec cat {} + | wc -c; }

cd "$work"
timed clone git clone --quiet --no-local "$project" medprobe
cd medprobe
timed demo make demo
modules=$(bytes "$GOMODCACHE/cache/download")
runtime=$(sed -n 's/^[0-9]* got onnxruntime-node.*: \([0-9]*\) bytes$/\1/p' "$work/demo.log")
[ "${1-}" = demo ] || timed test make test

echo '| step | seconds | fetched |'
echo '|---|---|---|'
row '`git clone`' clone '$' done "$(bytes .git/objects)"
row '`make demo`: modules' demo '1 of 4' '2 of 4' "$modules"
row '`make demo`: ONNX Runtime' demo '2 of 4' '3 of 4' "$runtime"
row '`make demo`: compiling' demo '3 of 4' '4 of 4'
row '`make demo`: linking' demo '4 of 4' './bin/medprobe demo'
row '`make demo`: the demo, to the first AUC' demo './bin/medprobe demo' 'AUC with'
row '`make demo`, all of it' demo '$' done $((modules + ${runtime:-0}))
if [ "${1-}" != demo ]; then
	row '`make test`: to the first line of a test' test '$' ok $(($(bytes "$GOMODCACHE/cache/download") - modules))
	row '`make test`: every test' test ok 'go test -timeout 40m -race'
	row '`make test`: under the race detector' test 'go test -timeout 40m -race' done
	row '`make test`, all of it' test '$' done
fi
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
memory=$(awk '/^MemTotal/ { printf ", %.0f GB", $2 / 1e6 }' /proc/meminfo 2>/dev/null)
cat <<END

$commands commands, on $(getconf _NPROCESSORS_ONLN) processors (${processor:-$(uname -m)})$memory, $(go env GOOS GOARCH | paste -sd/), $(go env GOVERSION), $($(go env CC) --version | head -n 1), at commit $(git rev-parse --short HEAD).
The first AUC: $(sed -n '/AUC with/{n;n;s|^[0-9]*  *\(.*[^ ]\)  *[0-9]*/[0-9]* *\([01]\.[0-9]* ([^)]*)\).*$|\1, \2|p;}' "$work/demo.log").
END
