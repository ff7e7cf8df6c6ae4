#!/bin/sh
# The first hour with medprobe, on four kinds of data, with an empty home: how many
# commands and seconds it takes to the first AUC. It prints a table.
#
#     examples/first-hour/run.sh
#
# MEDPROBE names the program (default: bin/medprobe of this project), MEDPROBE_DATA
# the folder of real images (default: ../shared/data beside the project); what is not
# there is left out with a word.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
medprobe=${MEDPROBE:-$here/../../bin/medprobe}
data=${MEDPROBE_DATA:-$here/../../../shared/data}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

row=0
# begin: a new home, nothing known.
begin() {
	row=$((row + 1))
	mkdir "home$row"
	export HOME="$PWD/home$row" XDG_CACHE_HOME="$PWD/home$row/cache" XDG_CONFIG_HOME="$PWD/home$row/config"
	MEDPROBE_CACHE='' MEDPROBE_ENCODERS='' MEDPROBE_REGISTRY=''
	export MEDPROBE_CACHE MEDPROBE_ENCODERS MEDPROBE_REGISTRY
	commands=0
	started=$(date +%s%N)
}
command() {
	commands=$((commands + 1))
	"$medprobe" "$@" >out.txt 2>err.txt || { cat err.txt >&2; exit 1; }
}
# end WHAT FIGURE: a row of the table.
end() {
	[ -n "$2" ] || { echo "$1: no figure came out" >&2; exit 1; }
	printf '| %s | %d | %d.%d | %s |\n' "$1" "$commands" $((tenths / 10)) $((tenths % 10)) "$2"
}
# stop stops the clock.
stop() { tenths=$((($(date +%s%N) - started) / 100000000)); }
# auc RUN: the first finding of a run's report, and its first AUC.
auc() {
	"$medprobe" report "$1" | sed -n "/^AUC with/{n;n;s|^ *\(.*[^ ]\)  *[0-9]*/[0-9]* *\([01]\.[0-9]* ([^)]*)\).*$|\1, \2|p;}"
}

echo '| data | commands | seconds | a figure |'
echo '|---|---|---|---|'

begin
command demo
stop
end 'drawn radiographs: `medprobe demo`' "$(auc medprobe-demo/run)"

for example in blood-cells chest-xray; do
	if [ -d "$data" ]; then
		begin
		command run "$here/../$example/experiment.yaml" --out "$example"
		stop
		end "\`run\` of examples/$example" "$(auc "$example")"
	else
		echo "no real images at $data: examples/$example is left out" >&2
		[ "${MEDPROBE_SKIP-}" != never ] || exit 1
	fi
done

# A folder of one's own: 64 images in two folders, odd names, one broken, other files.
begin
mkdir -p "mine/well" "mine/with effusion"
n=0
tail -n +2 medprobe-demo/phantoms/labels.csv | while IFS=, read -r path patient rest; do
	case $rest in *,1,*) to='with effusion' ;; *) to=well ;; esac
	n=$((n + 1))
	[ "$n" -gt 64 ] || cp "medprobe-demo/phantoms/$path" "mine/$to/Aufnahme ($n) $patient.png"
done
printf 'not a picture' >'mine/well/broken.png'
echo 'ask Anna' >mine/notes.txt
printf 'data: {format: imagefolder, path: mine}\nencoder: demo\n' >experiment.yaml
command dataset inspect imagefolder:mine
command run experiment.yaml --out own
stop
end 'a folder of 64 images and a broken one: `dataset inspect`, `run`' "$(auc own)"

if [ -d "$data/dicom" ]; then
	begin
	command dataset inspect "dicom:$data/dicom"
	command embed "dicom:$data/dicom" --encoder demo --max-failures inf
	stop
	end 'a DICOM tree without labels: `dataset inspect`, `embed`' 'none: it has no labels'
fi
