# hactl: `make test` is what the README and CI run.

GO ?= go
# A count, not a time: at the end of a time go test -fuzz now and then reports its own deadline.
FUZZTIME ?= 5000x
FUZZ ?= $(shell grep -rln 'func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u)

# A process under the race detector sleeps for a second at its end; each evaluation
# of a specification is a process.
export GORACE ?= atexit_sleep_ms=0

.PHONY: build test tools lint fuzz vuln bench bench-vrrp bench-agent bench-lab explore update clean

build: ## the static binary, ./hactl
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o hactl ./cmd/hactl

# The hosts' stories count lost milliseconds on real sockets: without the race
# detector, which what needs no namespace runs under.
HOST = ./engines/host
HOST_UNIT = NobodyGoes|ConfigurationSurvives|ConfigurationIsRefused|Frames|ClaimFilter|Deadlines|Objects|APassword|StagedCh|AStaged|AVRID|UnicastPeers|ARuntime|OneAgent|ASupervisor

test: lint tools ## everything that CI asks for, but for fuzzing and vulnerabilities
	$(GO) test -race -shuffle=on -timeout 30m $$($(GO) list ./... | grep -v /engines/host$$)
	$(GO) test -race -shuffle=on -timeout 30m -run '$(HOST_UNIT)' $(HOST)
	$(GO) test -shuffle=on -timeout 30m $(HOST)

# What the stories need beyond Go and git, where it can be had.
tools:
	@missing=; for p in ip:iproute2 ping:iputils-ping nft:nftables keepalived:keepalived gpg:gnupg ssh-keygen:openssh-client sshd:openssh-server etcd:etcd-server systemd-analyze:systemd chromium:chromium; do \
		command -v $${p%%:*} >/dev/null || missing="$$missing $${p##*:}"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	elif [ -n "$$missing" ]; then echo "without$$missing, the stories that need them are skipped"; fi

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

bench-vrrp: ## hactl beside keepalived in network namespaces, in turn; needs root and keepalived, takes an hour
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; $(GO) test -c -o "$$dir/host.test" $(HOST) && cd $(HOST) && \
	HACTL_NETNS=required HACTL_BENCH_VRRP=$${HACTL_BENCH_VRRP:-20} HACTL_BENCH_VRRP_BUSY=$${HACTL_BENCH_VRRP_BUSY:-10m} \
	"$$dir/host.test" -test.run '^TestCompare' -test.parallel 4 -test.timeout 3h

bench-agent: ## memory, processor time and timers of the agent as shipped; needs root, takes three times as long as each part
	HACTL_NETNS=required HACTL_BENCH_AGENT=$${HACTL_BENCH_AGENT:-2m} $(GO) test -v -count=1 -run TestMeasureAgent -timeout 1h ./cmd/hactl

bench-lab: ## how near a drill's predictions are; needs root, takes half a minute for each round
	HACTL_BENCH_LAB=$${HACTL_BENCH_LAB:-10} $(GO) test -v -count=1 -run TestMeasureLab -timeout 1h ./cmd/hactl

explore: ## more days of three agents, each of a new seed; half an hour
	$(GO) test -count=1 -timeout 2h -run TestADayOfThreeAgents ./cmd/hactl -explore-days $${HACTL_EXPLORE_DAYS:-400}

bench: ## the figures of the README, each beside its limit
	$(GO) test -run '^$$' -bench . -benchtime 3x ./cmd/hactl

update: ## write the golden files again; read the difference
	$(GO) test ./reconcile/render -update

clean:
	rm -f hactl
