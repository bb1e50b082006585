# Each target is a script of the same name in scripts/.

.DEFAULT_GOAL := help
.PHONY: help toolchain demo app test browser check docs verify bench fuzz

help: ## print this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

toolchain: ## install what is missing of Elixir and Erlang/OTP into .toolchain, and say what is used
	@scripts/toolchain

demo: ## kill a node with SIGKILL in mid-write, and recover every session on a new one
	@scripts/demo

app: ## a page to try it on, at http://localhost:4000, with buttons that kill its server
	@scripts/app

test: ## run every test, in Rust and Elixir, with an S3-compatible server beside them
	@scripts/test

browser: ## the demo app in a real browser: cuts, crashes, deploys, kills, tabs. Needs Hex, node and Chromium
	@scripts/browser

check: ## formatting, warnings as errors, purity of the machine crate
	@scripts/check

docs: ## build the documentation into doc/
	@scripts/docs

verify: ## the long forms of the proofs, about an hour; SEEDS=1000000 KILLS=5000 for a night of it
	@scripts/verify

bench: ## measure, about ten minutes, and write docs/performance.md; QUICK=1 for a little of everything
	@scripts/bench $(if $(QUICK),--quick)

fuzz: ## fuzz the parsers, guided by coverage, for SECONDS=60 in all
	@scripts/fuzz $(or $(SECONDS),60)
