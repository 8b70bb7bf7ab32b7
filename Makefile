# hactl: `make test` is what the README and CI run.

GO ?= go
# A count, not a time: at the end of a time go test -fuzz now and then reports its own deadline.
FUZZTIME ?= 5000x
FUZZ ?= $(shell grep -rln 'func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u)

.PHONY: build test test-host lint fuzz vuln bench bench-vrrp update clean

build: ## the static binary, ./hactl
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o hactl ./cmd/hactl

# The hosts' stories measure single milliseconds on real sockets and are not
# steady on a busy machine yet: the gate runs a steady part, and
# test-host all of them.
HOST = ./engines/host
HOST_UNIT = ConfigurationSurvivesJSON|ConfigurationIsRefused|AnnouncementFrames|ClaimFilter|DeadlinesComeInOrder|HigherPriorityIsElected

test: lint ## everything that CI asks for, but for fuzzing and vulnerabilities
	$(GO) test -race -shuffle=on $$($(GO) list ./... | grep -v /engines/host$$)
	$(GO) test -race -shuffle=on -run '$(HOST_UNIT)' $(HOST)

test-host: ## the hosts' stories in network namespaces; needs root and keepalived
	HACTL_NETNS=required $(GO) test -count=1 -shuffle=on $(HOST)

lint:
	@test -z "$$(gofmt -l .)" || { echo "gofmt wants:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for dir in $(FUZZ); do \
		for target in $$(grep -rho 'func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | sed 's/func //' | sort -u); do \
			echo "$$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir; \
		done; \
	done

vuln: ## known vulnerabilities, where the database can be reached
	@out=$$($(GO) tool govulncheck ./... 2>&1); status=$$?; \
	if [ $$status -ne 0 ] && ! echo "$$out" | grep -q '^Vulnerability #'; then \
		echo "govulncheck was not run: its database cannot be reached"; \
	else echo "$$out"; exit $$status; fi

bench-vrrp: ## hactl beside keepalived in network namespaces, in turn
	HACTL_BENCH_VRRP=20 $(GO) test -run TestCompare -timeout 2h -v $(HOST)

bench: ## the figures of the README, each beside its limit
	$(GO) test -run '^$$' -bench . -benchtime 3x ./cmd/hactl

update: ## write the golden files again; read the difference
	$(GO) test ./reconcile/render -update

clean:
	rm -f hactl
