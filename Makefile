# Targets: build, install, uninstall, deb, deb-test, vet-windows, test, bench, engines, picture, fuzz, lint, deps, notices. See README.md.

GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS    := -s -w -X main.version=$(VERSION) -X github.com/influxdata/telegraf/internal.Version=1.39.3
FUZZTIME   ?= 60s
NFPM       := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Where make install puts what; DESTDIR stands before all of it, for packages.
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SHARE      := $(DESTDIR)$(PREFIX)/share
BINARY     ?= ./flowgraf

# Captured datagrams and nfdump files, with which more tests run.
export FLOWGRAF_SAMPLES ?= $(abspath ../shared/samples)

.PHONY: build install uninstall deb deb-test test package-tests lint vet-windows bench fuzz deps notices engines picture packages clean

# One static binary, the same from whatever folder it is built in. The licences of what
# it contains are made first.
build: cmd/flowgraf/notices.txt
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o flowgraf ./cmd/flowgraf

notices: cmd/flowgraf/notices.txt

# Installs the binary, man pages and completions below $(DESTDIR)$(PREFIX). A binary that
# is there already is taken, so that "make build" needs no root and this no Go.
install:
	@test -x $(BINARY) || $(MAKE) build
	install -d $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions \
		$(SHARE)/fish/vendor_completions.d
	install -D -m 755 $(BINARY) $(DESTDIR)$(BINDIR)/flowgraf
	$(BINARY) man $(SHARE)/man/man1
	$(BINARY) completion bash >$(SHARE)/bash-completion/completions/flowgraf
	$(BINARY) completion zsh >$(SHARE)/zsh/site-functions/_flowgraf
	$(BINARY) completion fish >$(SHARE)/fish/vendor_completions.d/flowgraf.fish

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/flowgraf $(SHARE)/man/man1/flowgraf.1 $(SHARE)/man/man1/flowgraf-*.1 \
		$(SHARE)/bash-completion/completions/flowgraf $(SHARE)/zsh/site-functions/_flowgraf \
		$(SHARE)/fish/vendor_completions.d/flowgraf.fish

# The Debian packages flowgraf and flowgraf-mta, in build/deb. What they are made of is in
# cmd/flowgraf/packaging.
DEB_VERSION ?= $(shell echo '$(VERSION)' | sed -E 's/^v([0-9])/\1/; t; s/^/0~git./' | tr -c 'A-Za-z0-9.+~\n' '.')
deb: export DEB_VERSION := $(DEB_VERSION)
deb: export STAGE := build/deb/root
deb: export ARCH := $(shell $(GO) env GOARCH)
deb: build
	rm -rf build/deb && mkdir -p build/deb
	$(MAKE) install DESTDIR=$(STAGE) PREFIX=/usr
	$(GO) run $(NFPM) package --config cmd/flowgraf/packaging/nfpm.yaml --packager deb --target build/deb
	$(GO) run $(NFPM) package --config cmd/flowgraf/packaging/nfpm-mta.yaml --packager deb --target build/deb

# The packages in fresh roots of Debian's, installed, used, removed and purged, and their units
# under a real systemd; needs root, mmdebstrap and a mirror. CI does not call it: it takes
# minutes.
deb-test: deb
	tests/deb.sh build/deb
	tests/systemd.sh build/deb

cmd/flowgraf/notices.txt: go.mod cmd/flowgraf/notices/main.go
	$(GO) generate -run notices ./cmd/flowgraf
	@touch $@

# Which direct dependencies have newer versions.
deps:
	@$(GO) list -m -u -e -f '{{if .Update}}{{.Path}} {{.Version}}, newest {{.Update.Version}}{{end}}' \
		$$($(GO) list -m -f '{{if not (or .Indirect .Main)}}{{.Path}}{{end}}' all)

# All tests, with the real peers. As root on Debian it installs the peers it
# needs; elsewhere it says which are missing, and their tests are skipped.
# Lint fills what the tests leave of the processors: they wait for peers as often as they work.
test: packages
	$(MAKE) --no-print-directory -j 2 lint package-tests
	$(GO) test -run '^TestOutputsThatAreDownCostNothing$$/^influxdb' ./cmd/flowgraf
	$(MAKE) fuzz FUZZTIME=3s
	@tests/skipped.sh build/test.log

# The packages that take longest come first, so that the last of them does not run alone for
# minutes. Go prints in this order: it is silent until the first is done.
package-tests: packages
	@mkdir -p build
	. tests/peers.env && { $(GO) test -race -v -timeout 40m ./tests ./outputs/web ./outputs/nffile ./relay ./... 2>&1; \
		echo "go test: exit $$?"; } | \
		tee build/test.log | grep --line-buffered -E '^(ok|FAIL|panic:|fatal error:|go test:)|^ *--- FAIL'
	@tail -n 1 build/test.log | grep -q '^go test: exit 0$$' || { tests/failed.sh build/test.log; exit 1; }

lint:
	@unformatted=$$(gofmt -l cmd outputs plugins relay tests); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	nice $(GO) vet ./...
	nice $(GO) run $(STATICCHECK) ./...

# That everything builds for Windows. A cold run takes minutes, so lint does without.
vet-windows:
	GOOS=windows $(GO) vet ./cmd/... ./outputs/... ./plugins/... ./relay/...

# Every benchmark of the packages, then flowgraf beside its peers.
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
	tests/bench/cpu.sh
	tests/bench/day.sh
	tests/bench/hot.sh
	tests/bench/index.sh
	tests/bench/rate.sh
	tests/bench/read.sh
	tests/bench/relay.sh

# Every fuzz target of every package, as many at once as there are processors, for FUZZTIME each.
fuzz:
	tests/fuzz.sh $(GO) $(FUZZTIME)

# What dump -o parquet writes, and the schema and questions of outputs/report/CLICKHOUSE.md,
# in DuckDB and ClickHouse, and the countries of the world (CC0) for
# [inputs.netflow.enrich]: they come from npm and have half a gigabyte. Then a cluster of
# VictoriaLogs, and the questions in Flux on an InfluxDB of the last version whose Flux is
# Go alone: they are built, for minutes the first time. No other target asks for any of it.
ENGINES    := github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v1.52.2 github.com/influxdata/influxdb/cmd/influxd@v1.7.11
engines:
	@mkdir -p build/engines
	cd build/engines && npm install --no-save --no-audit --no-fund --prefix . @duckdb/node-api@1.5.6-r.1 chdb@3.4.0 \
		@ip-location-db/geo-whois-asn-country @ip-location-db/geo-whois-asn-country-mmdb
	FLOWGRAF_ENGINES=$(abspath build/engines) $(GO) test -count=1 -v -run '^(TestParquetInEngines|TestQuestionsInEngines|TestIPLocationDB)$$' \
		./outputs/report ./plugins/enrich
	@proxy=$$($(GO) env GOPROXY) && for engine in $(ENGINES); do \
		name=$${engine%@*} && test -x build/engines/$${name##*/} || GOPROXY=$${proxy%%,*} GOBIN=$(abspath build/engines) \
		CGO_ENABLED=0 timeout 240 $(GO) install $$engine || echo "not built, and its test is skipped: $$engine"; \
	done
	. tests/peers.env && FLOWGRAF_ENGINES=$(abspath build/engines) $(GO) test -count=1 -v \
		-run '^(TestVictoriaLogsCluster|TestQuestionsInFlux)$$' ./tests

# The picture of plugins/inputs/netflow/dashboard.json. An agent takes flows for twenty
# minutes, the first time; its InfluxDB stays in build/dashboard and answers the queries; Grafana's
# libraries, which come from npm and have 600 MB, draw the answers in chromium. No other target
# asks for any of it.
DASHBOARD  := plugins/inputs/netflow/dashboard
picture: packages
	@mkdir -p build/dashboard
	cp tests/dashboard/package.json tests/dashboard/package-lock.json build/dashboard
	cd build/dashboard && npm ci --ignore-scripts --no-audit --no-fund
	. tests/peers.env && FLOWGRAF_PICTURE=$(abspath build/dashboard) FLOWGRAF_PEERS=required $(GO) test -count=1 -v \
		-timeout 60m -run '^TestDashboardPicture$$' ./tests
	node tests/dashboard/picture.mjs $(DASHBOARD).json build/dashboard $(DASHBOARD).png

packages:
	tests/packages.sh

clean:
	rm -rf flowgraf build
