# Every command of the project. `make run` is the one for users, `make test` the gate for developers.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build binary test crash crash-groups crash-transactions crash-streams fuzz compat suites lag bench bench-full bench-smoke experiments instructions docs demo truth-table examples clean need-build need-lints need-counts need-clients need-java need-postgresql dashboards pictures images

# On CI the build lives outside the clone, so that RocksDB is compiled once per machine.
ifdef CI
export CARGO_TARGET_DIR ?= $(HOME)/.cache/einmal/target
endif
BINARY := $(abspath $(or $(CARGO_TARGET_DIR),target))/release/einmal
export EINMAL := $(BINARY)
# For `einmal version`: what src/main.rs is compiled with, and it alone is compiled again when they change.
export BUILD_REVISION ?= $(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown)
export BUILD_RUSTC ?= $(shell rustc --version 2>/dev/null | cut -d ' ' -f 2)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## install what is missing, build, start the broker on localhost:9092
	exec $(BINARY) start --listen localhost:9092 --data-dir ./einmal-data

build: need-build ## build the broker (RocksDB once per machine: about 15 minutes)
	scripts/heartbeat cargo build --release

binary: ## print the path of the built binary; built first where there is none
	@[ -x $(BINARY) ] || $(MAKE) --no-print-directory build >&2
	@echo $(BINARY)

test: need-build need-lints need-counts need-clients need-java ## the whole gate
	scripts/gate

demo: build need-clients ## the red packets: watch money get lost and doubled, and each guarantee put an end to a part of it (2 minutes)
	demo/run

truth-table: build need-clients ## what becomes of a message: 12 points of failure, 7 ways to consume, each cell tried (2 minutes)
	examples/truth-table/run

examples: build need-clients need-java need-postgresql ## the recipes for consumers in Python, Java and Rust: killed at each step, the effects counted
	examples/check

crash: build need-clients ## kill -9 the broker 100 times under idempotent producers, check the history
	compat-tests/crash/run 100

crash-groups: build need-clients need-java ## kill -9 the broker 100 times under one group of three clients, check the history
	compat-tests/crash/run-groups 100

crash-transactions: build need-clients need-java ## kill -9 the broker 100 times under transactional copiers, check the history
	compat-tests/crash/run-transactions 100

crash-streams: build need-clients need-java ## kill -9 the broker and a Kafka Streams word count 20 times, compare with a run without
	compat-tests/streams/run 20

# Mutated bytes only: coverage-guided fuzzing would need RocksDB and the rest compiled once more, by a nightly compiler.
fuzz: need-build ## mutate frames, requests, batches and fetch sessions for FUZZ_SECONDS=60 from a new seed
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) nice cargo test --release --test fuzz -- --nocapture

compat: build need-clients ## every client's scenarios, long form
	compat-tests/run long

suites: build ## the clients' own test suites beside this repository, if they are there
	compat-tests/suites

lag: build need-clients ## kafka_exporter (on the path, or named by EXPORTER) and Burrow beside `einmal group lag`
	compat-tests/lag/check

dashboards: build need-clients ## check Grafana's boards and the alert rules against a broker under load
	grafana/check

pictures: build need-clients ## draw the boards and the admin page for the README
	grafana/check --seconds 330 --pictures grafana/pictures

images: build need-clients ## lint the Dockerfile and compose.yaml, and replay what containers of it would do, without an engine (root, Debian)
	docker/check

bench: build need-java ## measured side by side with Apache Kafka: the headline rows (15 minutes)
	bench/side_by_side.py --form short

bench-full: build need-java ## the same: every row, five repetitions of a minute each (hours; in pieces: ROWS=P5,C2 CONTINUE=FILE.json)
	bench/side_by_side.py --form full $(if $(ROWS),--rows $(ROWS)) $(if $(CONTINUE),--continue $(CONTINUE))

bench-smoke: build ## the same: every row once with hardly any data, to see that it works (2 minutes)
	bench/side_by_side.py --form smoke

experiments: build ## the measurements that decide the shape of the store, alone (20 minutes)
	bench/experiments.py

instructions: need-build need-counts ## renew the instruction counts that the gate compares with
	scripts/instructions --renew

docs: need-build ## renew the generated tables of README.md and docs/
	UPDATE_README=1 cargo test --release --test readme

clean: ## remove what was built here
	cargo clean

need-build:
	@scripts/need build

need-lints:
	@scripts/need lints

need-counts:
	@scripts/need counts

need-clients:
	@scripts/need clients

need-java:
	@scripts/need java

need-postgresql:
	@scripts/need postgresql
