#!/bin/sh
# From an experiment to a registry, out to every format, into every consumer that is
# here, and back. Run it from anywhere:
#
#     examples/registry/run.sh [FOLDER]
#
# MEDPROBE names the program (default: bin/medprobe of this project), FOLDER what is
# written (default: a temporary one, removed at the end). A consumer that is not
# installed is passed over with a word; with MEDPROBE_OPINIONS=all that is an error.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
medprobe=${MEDPROBE:-$here/../../bin/medprobe}
modules=${MEDPROBE_NODE_MODULES:-$here/../../.ort/node/node_modules}
if [ $# -gt 0 ]; then
	mkdir -p "$1"
	cd "$1"
else
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cd "$work"
fi
# Nothing of the user's own is read or written.
MEDPROBE_REGISTRY=$PWD/registry MEDPROBE_CACHE=$PWD/cache.db MEDPROBE_ENCODERS=$PWD/encoders
export MEDPROBE_REGISTRY MEDPROBE_CACHE MEDPROBE_ENCODERS

step() { printf '\n== %s\n' "$*"; }

# refused CODE COMMAND…: the command must end with that code.
refused() {
	want=$1
	shift
	code=0
	"$@" || code=$?
	[ "$code" -eq "$want" ] || { echo "exit $code of: $*; want $want" >&2; exit 1; }
}

# absent WHAT: a consumer is not here.
absent() {
	echo "passed over: $1 is not installed"
	[ "${MEDPROBE_OPINIONS-}" != all ] || exit 1
}

step "an experiment: few labels, then all"
"$medprobe" demo --out demo >demo.txt
cp "$here/experiment.yaml" all.yaml
sed 's/^calibrate:.*/train: {shots: 4}/' all.yaml >few.yaml
"$medprobe" run few.yaml --out few >few.txt
"$medprobe" run all.yaml --out all >all.txt

step "add, gate, alias"
"$medprobe" registry add cxr --run few --head knn
"$medprobe" registry add cxr --run all --head logistic
"$medprobe" registry add cxr --run all --head knn
"$medprobe" registry alias cxr champion 1
"$medprobe" registry alias cxr champion 2 --gate --reason "all labels"
refused 3 "$medprobe" registry alias cxr champion 1 --gate
"$medprobe" registry list

step "export to every format"
for version in 2 3; do # a linear head, and one that keeps samples
	mkdir -p "out$version"
	for format in onnx safetensors mlflow hf oci onnx-e2e bundle; do
		"$medprobe" registry export "cxr@$version" --format "$format" --out "out$version/$format"
	done
done

step "what they must say: nine images by medprobe itself"
set -- demo/phantoms/images/P000*-1.png
"$medprobe" encode images --encoder demo --out x.npy "$@"
"$medprobe" preprocess --encoder demo --out pixels.npy "$@"
for version in 2 3; do
	"$medprobe" predict --head "out$version/safetensors/head.safetensors" --features x.npy --out "out$version/want.csv"
done

step "Node's ONNX Runtime"
if command -v node >/dev/null && [ -d "$modules/onnxruntime-node" ]; then
	for version in 2 3; do
		for model in onnx mlflow/model.onnx hf/model.onnx; do
			node "$here/consume.cjs" "$modules" "out$version/$model" embedding x.npy "out$version/want.csv" 1e-5
		done
		node "$here/consume.cjs" "$modules" "out$version/onnx-e2e/model.onnx" pixels pixels.npy "out$version/want.csv" 1e-4
	done
else
	absent "Node with onnxruntime-node"
fi

step "Python: ONNX's checker, PyTorch and scikit-learn"
python=${PYTHON:-/usr/bin/python3}
if "$python" -c 'import onnx, numpy' 2>/dev/null; then
	for version in 2 3; do
		"$python" "$here/consume.py" onnx "out$version/onnx" "out$version/onnx-e2e/model.onnx"
	done
else
	absent "Python with onnx"
fi
if "$python" -c 'import torch, sklearn' 2>/dev/null; then
	"$python" "$here/consume.py" head out2/safetensors/head.safetensors x.npy out2/want.csv
else
	absent "Python with torch and sklearn"
fi

step "back from every format into another registry"
for version in 2 3; do
	for format in onnx safetensors mlflow hf oci onnx-e2e bundle; do
		"$medprobe" registry --registry "other-$version-$format" import cxr "out$version/$format"
		"$medprobe" registry --registry "other-$version-$format" export cxr --format safetensors --out "again-$version-$format"
		cmp "again-$version-$format/head.safetensors" "out$version/safetensors/head.safetensors"
	done
done
"$medprobe" registry --registry other-2-onnx verify
refused 5 env MEDPROBE_REGISTRY=other-2-onnx "$medprobe" gate --baseline registry:cxr@1 --candidate all

step "verify, tamper, detect, heal"
"$medprobe" registry verify
object=$(find registry/objects -type f -size +1k | sort | head -n 1)
printf '\377\377\377\377' | dd of="$object" bs=1 seek=100 conv=notrunc 2>/dev/null
refused 1 "$medprobe" registry verify
"$medprobe" registry add cxr --run few --head knn # what is damaged is written again
"$medprobe" registry add cxr --run all --head logistic
"$medprobe" registry add cxr --run all --head knn
"$medprobe" registry verify

step "sign a folder, and see what was done to it"
if command -v openssl >/dev/null; then
	openssl ecparam -name prime256v1 -genkey -noout -out key.pem
	openssl ec -in key.pem -pubout -out public.pem 2>/dev/null
	"$medprobe" registry sign out2/hf --key key.pem
	"$medprobe" registry verify-signature out2/hf --key public.pem
	echo more >>out2/hf/README.md
	refused 1 "$medprobe" registry verify-signature out2/hf --key public.pem
else
	absent openssl
fi

step "a push that reaches nobody changes nothing"
refused 1 "$medprobe" registry push cxr@2 --to oci --plain-http 127.0.0.1:9/heads/cxr:2
"$medprobe" registry verify

step "all is well"
