# Targets: build, test, bench, fuzz, lint. See README.md.

GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS    := -s -w -X main.version=$(VERSION) -X github.com/influxdata/telegraf/internal.Version=1.39.3
FUZZTIME   ?= 60s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build test lint bench fuzz packages clean

build:
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o flowgraf ./cmd/flowgraf

# All tests, with the real peers. As root on Debian it installs the peers it
# needs; elsewhere it says which are missing, and their tests are skipped.
test: packages lint
	. tests/peers.env && $(GO) test -race -timeout 20m ./...
	$(MAKE) fuzz FUZZTIME=2s

lint:
	@unformatted=$$(gofmt -l cmd outputs plugins relay tests); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Every benchmark of the packages, then flowgraf beside its peers.
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
	tests/bench/cpu.sh
	tests/bench/hot.sh
	tests/bench/rate.sh
	tests/bench/read.sh
	tests/bench/relay.sh

# Every fuzz target of every package, one after the other, for FUZZTIME each.
fuzz:
	tests/fuzz.sh $(GO) $(FUZZTIME)

packages:
	tests/packages.sh

clean:
	rm -rf flowgraf build
