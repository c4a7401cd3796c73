# Everything a developer runs. `make` alone lists it.

SHELL = bash
GO ?= go
ARGS ?=
FUZZTIME ?= 10s
SEEDS ?= 100
SEED ?= 1
TIMES ?= 5
FIRST ?= 2000
BUGS ?=
SHORT ?=
STRICT ?=
GOLANGCI_LINT_VERSION = v2.12.2
GOVULNCHECK_VERSION = v1.9.0

.PHONY: help run build test lint alerts faults chaos kills handover simulate soak bugs failover limits answers flood idle mutants conformance bench vuln cover config fuzz clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

run: ## the whole system on this machine: emulator, simulator, front end, service (options in ARGS)
	@$(GO) build -o bin/ ./cmd/opfeed-dev
	@exec bin/opfeed-dev up $(ARGS)

build: ## compile everything; the commands go to bin/
	$(GO) build ./...
	mkdir -p bin
	$(GO) build -o bin/ ./cmd/...

# -cpu 1: two goroutines of one bubble that run timers in the same instant share a
# context of the race detector, which then ends the process (golang/go#78156). It
# finds races by what happens before what, and needs no second processor for that.
test: ## all tests with the race detector, then each kill, fault, cluster and mutant without it; a package should need 5 minutes at most
	$(GO) test -race -cpu 1 -timeout 10m ./...
	$(GO) test -timeout 5m ./internal/simulation
	$(GO) test -timeout 5m -run 'TestKilledAtEveryWrite|TestHours|TestMutants|TestOwed' ./internal/system

lint: ## gofmt, go vet, golangci-lint (installed into bin/ if missing)
	@files="$$(gofmt -l .)" || exit 1; if [ -n "$$files" ]; then echo "gofmt: not formatted:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	@lint="$$(.ci/golangci-lint $(GOLANGCI_LINT_VERSION))" && echo "$$lint run" && GOLANGCI_LINT_CACHE="$(CURDIR)/bin/lint-cache" "$$lint" run --allow-parallel-runners --timeout 10m

faults: ## the service for a simulated hour under each fault in turn: about 6 minutes of two idle cores
	@set -o pipefail; $(GO) test -timeout 3h -v -run TestHours ./internal/system -faults.for=1h | grep -v '^=== \|^ *logger.go'

chaos: ## two replicas under random faults, restarts and freezes, for SEEDS seeds (100)
	$(GO) test -timeout 2h -run TestChaos ./internal/system -chaos.seeds=$(SEEDS)

kills: COUNT ?= 200
kills: ## three replicas as processes, killed and frozen COUNT (200) times as SEED (1) says, under load: about 17 minutes
	@set -o pipefail; $(GO) test -count 1 -timeout 2h -v -run '^TestKills$$' ./internal/system -kills.count=$(COUNT) -kills.seed=$(SEED) | grep --line-buffered -v '^=== \|^ *process_test.go'

handover: ## how long a range waits for its next owner when a process is killed, and when it is stopped, TIMES (5) each: 5 minutes; STRICT=1 fails if too long
	@set -o pipefail; $(GO) test -count 1 -timeout 1h -v -run '^TestFailover$$' ./internal/system -failover.times=$(TIMES) $(if $(STRICT),-failover.strict) | grep --line-buffered -v '^=== \|^ *process_test.go'

# They allocate much and keep little: a larger heap saves the collector's time. With
# the race detector two processes run side by side: on one processor each, as above.
simulate: ## clusters under seeded trouble: 50 simulated hours, then 10 with the race detector: 25 minutes of two idle cores (SHORT=1: a sixth of it)
	@set -o pipefail; GOGC=400 $(GO) test -count 1 -timeout 2h -run '^TestSimulate$$' -v ./internal/simulation -simulate.seeds=$(if $(SHORT),60,330) -simulate.hours=$(if $(SHORT),8,50) | grep --line-buffered -v '^=== \|^ *logger.go'
	@running=; for first in 1001 2001; do \
		( set -o pipefail; GOGC=400 $(GO) test -race -cpu 1 -count 1 -timeout 2h -run '^TestSimulate$$' -v ./internal/simulation -simulate.first=$$first -simulate.seeds=$(if $(SHORT),6,33) -simulate.for=10m -simulate.hours=$(if $(SHORT),0.9,5) | grep --line-buffered -v '^=== \|^ *logger.go' ) & running="$$running $$!"; \
	done; status=0; for one in $$running; do wait $$one || status=1; done; exit $$status

soak: ## the same for SEEDS clusters (100) from seed FIRST (2000)
	$(GO) test -count 1 -timeout 24h -run '^TestSimulate$$' ./internal/simulation -simulate.first=$(FIRST) -simulate.seeds=$(SEEDS)

bugs: ## plant each bug of internal/simulation/bugs alone, and see the simulation find it
	@internal/simulation/bugs/run $(BUGS)

mutants: COUNT ?= 100000
mutants: ## the service over COUNT (100000) mutated copies of documents: about 6 minutes of an idle core
	@set -o pipefail; $(GO) test -timeout 2h -v -run '^TestMutants$$' ./internal/system -mutants.count=$(COUNT) | grep --line-buffered -v '^=== \|^ *logger.go'

limits: ## how much is held up by much work: the sweep of 10,000 pending, the lock with 200 (SHORT=1: a sweep of 2,000)
	@set -o pipefail; $(GO) test -count 1 -timeout 30m $(if $(SHORT),-short) -v -run 'TestSweepIsKept|TestLockIsRarelyMet' ./internal/system -limits | grep -v '^=== \|^ *logger.go'

answers: ## how long the answers to the status page take with 10,000 and 40,000 operations pending
	@set -o pipefail; $(GO) test -count 1 -timeout 30m -v -run '^TestAnswers$$' ./internal/service -answers | grep -v '^=== '

failover: ## how long a range is handled by nobody when it changes hands: 50 crashes, stops, joins (SHORT=1: 5; STRICT=1 fails above the bounds)
	@set -o pipefail; $(GO) test -count 1 -timeout 30m $(if $(SHORT),-short) -v -run TestFailover ./internal/figures -failover $(if $(STRICT),-failover.strict) $(if $(SHORT)$(STRICT),,-figures.write) | grep -v '^=== \|^ *logger.go'

flood: ## far too much at once, and what else goes wrong, told by a real Prometheus: 5 minutes of two idle cores; writes docs/flood.md (SHORT=1: 3 minutes, writes nothing, and a bound of time that is not kept is told, no more)
	@set -o pipefail; $(GO) test -count 1 -timeout 20m $(if $(SHORT),-short) -v -run '^TestFlood$$' ./internal/system -flood $(if $(SHORT),,-flood.write) | grep --line-buffered -v '^=== \|^ *process_test.go'

idle: ## measure what an idle replica costs and write it into docs/request-units.md
	$(GO) test -count 1 -run TestIdleCost ./internal/figures -figures.write

conformance: ## Microsoft's tests of azcosmos, and ours, against the emulator; ours alone against ENDPOINT (KEY_FILE, CA_FILE, ADMIN, ARGS)
	@$(GO) build -o bin/conformance ./internal/conformance/suite
	@exec bin/conformance $(if $(ENDPOINT),-endpoint='$(ENDPOINT)') $(if $(KEY_FILE),-key-file='$(KEY_FILE)') $(if $(CA_FILE),-ca-file='$(CA_FILE)') $(if $(ADMIN),-admin='$(ADMIN)') $(ARGS)

# Memory is bounded as "opfeed-dev cosmos" bounds it.
bench: ## what the Cosmos DB emulator can do, beside what is wanted; SHORT=1 is quick, STRICT=1 fails if it is not met
	@GOMEMLIMIT=2560MiB $(GO) test -v -count 1 -timeout 30m $(if $(SHORT),-short -benchtime 1s,-benchtime 3s) -run '^TestFigures$$' ./internal/cosmosemu -figures $(if $(STRICT),-figures.strict)

vuln: ## known vulnerabilities in what we call; says "skipped" where the database is out of reach
	@.ci/vuln $(GOVULNCHECK_VERSION)

cover: ## test coverage: total, and the profile in bin/cover.out
	mkdir -p bin
	$(GO) test -timeout 5m -coverpkg ./... -coverprofile bin/cover.out ./...
	$(GO) tool cover -func bin/cover.out | tail -n 1

config: ## write docs/configuration.md from the code
	$(GO) run ./cmd/opfeed config > docs/configuration.md.new
	mv docs/configuration.md.new docs/configuration.md

alerts: ## write docs/alerts, the rules for Prometheus, from internal/alerts
	$(GO) test -count 1 -run '^TestFilesAreWrittenFromTheTemplate$$' ./internal/alerts -alerts.write

fuzz: ## every fuzz target for FUZZTIME (10s)
	@.ci/fuzz $(FUZZTIME)

clean: ## remove what make made
	rm -rf bin docs/configuration.md.new
