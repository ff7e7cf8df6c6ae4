# make demo and make test are the two commands to know; make check is what CI runs.
GO      ?= go
BIN     := bin/medprobe
# Packages with goroutines of their own run under the race detector too.
RACE    := ./datasets/... ./embedcache ./encoder ./trainer ./evaluate ./registry ./experiment
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: setup build demo test test-race check lint bench bench-encoder bench-trainer bench-heads bench-suggest bench-dicom bench-cache bench-evaluate bench-coverage bench-gate test-faults reliability fuzz picture release clean

setup:
	@command -v $(GO) >/dev/null || { echo "setup: no Go; install Go 1.26 or newer" >&2; exit 1; }
	@command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null || { echo "setup: no C compiler; install gcc or clang (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }
	@[ "$$($(GO) env CGO_ENABLED)" = 1 ] || { echo "setup: cgo is off; run with CGO_ENABLED=1" >&2; exit 1; }
	@$(GO) run ./tools/setup

build:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/medprobe

demo: setup build
	./$(BIN) demo

test: setup
	$(GO) test ./...
	$(GO) test -race -short $(RACE)

# Everything under the race detector, in some hours of two cores.
test-race: setup
	$(GO) test -race -timeout 3h ./...

lint:
	@unformatted=$$(gofmt -s -l .); [ -z "$$unformatted" ] || { echo "not formatted: $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

check: lint test demo

bench: setup
	$(GO) test -run '^$$' -bench . ./...

# Archives with library, licences, manual pages, completions and a bill of
# materials: of this platform, or of TARGETS="linux/amd64 linux/arm64".
TARGETS ?=
release: setup
	$(GO) run ./tools/release $(TARGETS)

# Every fuzz target for FUZZTIME each.
FUZZTIME ?= 1m
fuzz: setup
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package || exit 1; \
		done; \
	done

# The towers beside plain ONNX Runtime and, where Python has it, PyTorch.
bench-encoder: setup
	$(GO) test ./encoder -run Speed -speed 9 -v -timeout 30m

# The heads beside scikit-learn, where Python has it.
bench-trainer: setup
	$(GO) test ./trainer -run Speed -speed 3 -v -timeout 60m

# Every kind of head on drawn and photographed data, into a table.
bench-heads: setup
	$(GO) test ./experiment -run HeadsQuality -heads 20 -v -timeout 5h

# Suggested labels beside random ones, and the coverage of extrapolated curves.
bench-suggest:
	MEDPROBE_SIMULATE=long $(GO) test ./experiment -run SuggestionsBeatChance -v -timeout 30m
	$(GO) test ./experiment -run SuggestionsOnImages -suggest 20 -v -timeout 1h
	MEDPROBE_SIMULATE=long $(GO) test ./evaluate -run 'TrendCoverage|EnoughIsHonest' -v -timeout 3h

# DICOM beside pydicom, where Python has it.
bench-dicom:
	$(GO) test ./internal/dicom -run Speed -speed 25 -v

# AUCs beside scikit-learn, where Python has it, and the bootstrap of fourteen labels.
bench-evaluate:
	$(GO) test ./evaluate -run Speed -speed 9 -v

# How often clustered intervals hold the truth, by simulation, into docs/coverage.md.
bench-coverage:
	$(GO) test ./evaluate -run 'CoverageTable|CoverageOfMeans' -coverage 2000 -v -timeout 3h

# The cache beside NumPy and the machine's memory: vectors in and out, files that
# have not changed, exact search, memory of an export.
ROWS ?= 1000000
bench-cache:
	$(GO) test ./embedcache -run Speed -speed 5 -speed-rows $(ROWS) -v -timeout 60m
	$(GO) test ./embedcache -run ExportMemory -speed 1 -export-rows $(ROWS) -v -timeout 60m

# False alarms and detections of the gate, beside a fixed tolerance, by simulation.
bench-gate:
	$(GO) test ./evaluate -run 'GateFalseAlarms$$' -gate 2000 -v -timeout 60m

# What breaks caches, at full count: kills, full disks, crowds, flipped bits.
test-faults: setup
	$(GO) test ./embedcache -run 'Flipped|Sidecar|Log' -faults -v -timeout 30m
	$(GO) test ./cmd/medprobe -run 'Killed|Kills|FullDisk|Crowd|Mutated|Soak' -faults -v -timeout 60m

# Every threat's tests at full count, and what they measured into docs/reliability.md;
# THREATS=1,5 runs those rows only.
THREATS ?=
reliability: setup
	$(GO) run ./tools/reliability -rows "$(THREATS)"

# The README's picture: the top of the demo's report.
picture: demo
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1180,1430 \
		--screenshot=docs/report.png medprobe-demo/run/report.html

clean:
	rm -rf bin .ort medprobe-demo
