# make demo and make test are the two commands to know; make check is what CI runs.
GO      ?= go
BIN     := bin/medprobe
MAIN    := ./cmd/medprobe
# Packages with goroutines of their own run under the race detector too.
RACE    := ./datasets/... ./embedcache ./encoder ./trainer ./evaluate ./registry ./experiment
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: setup build demo test test-race check lint bench bench-encoder bench-trainer bench-evaluate bench-cache bench-datasets bench-dicom bench-session bench-heads bench-suggest bench-coverage bench-gate test-faults reliability fuzz picture release reproduce first-hour cold-start clean

setup:
	@command -v $(GO) >/dev/null || { echo "setup: no Go; install Go 1.26 or newer" >&2; exit 1; }
	@command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null || { echo "setup: no C compiler; install gcc or clang (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }
	@[ "$$($(GO) env CGO_ENABLED)" = 1 ] || { echo "setup: cgo is off; run with CGO_ENABLED=1" >&2; exit 1; }
	@[ -x $(BIN) ] || { \
		echo "The first time takes some minutes, and later times seconds; examples/first-hour/cold.md says how long it took elsewhere." && \
		echo "1 of 4: modules: downloading those that $(BIN) needs" && \
		$(GO) list -deps $(MAIN) ./tools/setup >/dev/null && \
		echo "2 of 4: ONNX Runtime: compiling what looks for it, downloading it where there is none"; }
	@$(GO) run ./tools/setup

build:
	@[ -x $(BIN) ] || { \
		echo "3 of 4: compiling, the longest part: SQLite is one file of C that takes a minute or two; nothing is printed meanwhile" && \
		$(GO) list -deps -export -f '{{""}}' $(MAIN) >/dev/null && \
		echo "4 of 4: linking"; }
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o $(BIN) $(MAIN)

demo: setup build
	./$(BIN) demo

# The pages' commands alone take eight minutes of two processors.
test: setup
	@echo "every test, then those with goroutines under the race detector; the first line comes after some minutes"
	$(GO) test -timeout 40m ./...
	$(GO) test -timeout 40m -race -short $(RACE)

# Everything under the race detector, in some hours of two cores.
test-race: setup
	$(GO) test -race -timeout 3h ./...

lint:
	@unformatted=$$(gofmt -s -l .); [ -z "$$unformatted" ] || { echo "not formatted: $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

check: lint test demo

# Every benchmark beside its peer, into docs/benchmarks.md; goes on where it was
# interrupted. ROUNDS=1 ROWS=100000 is for trying; bench-NAME is one group.
ROUNDS  ?= 0
ROWS    ?= 1000000
bench: setup
	$(GO) run ./bench -rounds $(ROUNDS) -rows $(ROWS)

bench-encoder bench-trainer bench-evaluate bench-cache bench-datasets bench-dicom bench-session: setup
	$(GO) run ./bench -again -rounds $(ROUNDS) -rows $(ROWS) $(@:bench-%=%)

# Archives with library, licences, manual pages, completions and a bill of
# materials: of this platform, or of TARGETS="linux/amd64 linux/arm64".
TARGETS ?=
release: setup
	$(GO) run ./tools/release $(TARGETS)

# The archive of the commit is made twice, in two folders, and must be the same.
reproduce:
	$(GO) test ./tools/release -run 'Reproducible$$' -reproduce -v -timeout 60m

# Every fuzz target for FUZZTIME each.
FUZZTIME ?= 1m
fuzz: setup
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package || exit 1; \
		done; \
	done

# Every kind of head on drawn and photographed data, into a table.
bench-heads: setup
	$(GO) test ./experiment -run HeadsQuality -heads 20 -v -timeout 5h

# Suggested labels beside random ones, and the coverage of extrapolated curves.
bench-suggest:
	MEDPROBE_SIMULATE=long $(GO) test ./experiment -run SuggestionsBeatChance -v -timeout 30m
	$(GO) test ./experiment -run SuggestionsOnImages -suggest 20 -v -timeout 1h
	MEDPROBE_SIMULATE=long $(GO) test ./evaluate -run 'TrendCoverage|EnoughIsHonest' -v -timeout 3h

# How often clustered intervals hold the truth, by simulation, into docs/coverage.md.
bench-coverage:
	$(GO) test ./evaluate -run 'CoverageTable|CoverageOfMeans' -coverage 2000 -v -timeout 3h

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

# How long the first AUC takes with an empty home, into a table.
first-hour: build
	examples/first-hour/run.sh > bin/first-hour.md
	mv bin/first-hour.md examples/first-hour/table.md

# The README's two commands with nothing cached, and how long each step takes, into a
# table; COLD=demo leaves make test out.
COLD ?=
cold-start:
	@mkdir -p bin
	examples/first-hour/cold.sh $(COLD) > bin/cold.md
	mv bin/cold.md examples/first-hour/cold.md

# The README's picture: the top of the demo's report.
picture: demo
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1180,1430 \
		--screenshot=docs/report.png medprobe-demo/run/report.html

clean:
	rm -rf bin .ort medprobe-demo
