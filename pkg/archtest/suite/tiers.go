package main

// A tier is a list of packages that are tested together. The tiers run one after another, what fails fastest first.
type tier struct {
	name string
	// atLeast is how many tests have to run, subtests included. Raise it when tests are added: a test that gets lost, or
	// a table that lost its rows, is then seen.
	atLeast int
	// race runs the tests under the race detector. Without it they use what make build has compiled.
	race bool
	// packages are import paths below the product's; a trailing "/..." takes in everything below. The longest that
	// matches decides.
	packages []string
}

// tiers has every package that has tests; one in none fails.
var tiers = []tier{
	{
		name: "checks", atLeast: 48,
		packages: []string{"pkg/archtest"},
	},
	{
		// Nothing but computing: no bus, no database, no browser.
		name: "pure", atLeast: 4690, race: true,
		packages: []string{
			"pkg", "pkg/accesslog", "pkg/accesstext", "pkg/activity", "pkg/aggregate", "pkg/approval/...",
			"pkg/archtest/suite", "pkg/cache", "pkg/catalogue", "pkg/fact",
			"pkg/config", "pkg/disclosure", "pkg/erasable", "pkg/erasure", "pkg/keychain",
			"pkg/export", "pkg/fair", "pkg/foreign", "pkg/goldentest", "pkg/identity",
			"pkg/identity/oidcclient", "pkg/input", "pkg/internal/...", "pkg/invariant/...", "pkg/invitation", "pkg/merkle/...",
			"pkg/longtest", "pkg/message", "pkg/observe/...", "pkg/policy", "pkg/portalurl", "pkg/prose", "pkg/reason",
			"pkg/request", "pkg/resource", "pkg/sealed", "pkg/signed", "pkg/signing", "pkg/tenant", "pkg/ticket", "pkg/timetext",
			"pkg/writerkeys", "pkg/written",
			"services/jit-evaluator",
			"services/lockbox/internal/cli/render", "services/notifier/internal/mail",
			"services/notifier/internal/pace", "services/notifier/internal/plan", "services/portal/internal/form",
			"services/portal/internal/shown", "services/portal/internal/words",
		},
	},
	{
		// The bus, databases, and servers of others that the services stand on.
		name: "parts", atLeast: 1740, race: true,
		packages: []string{
			"pkg/approval/oracletest", "pkg/bus/...", "pkg/durable", "pkg/identity/jwks", "pkg/journal", "pkg/keystore",
			"pkg/lease", "pkg/repository",
			"pkg/service", "services/audit-projector/...", "services/forwarder/...",
			"scripts/release", "services/lockbox-orchestrator", "services/lockbox/demo/...",
			"services/lockbox/internal/bench/...",
			"services/lockbox/internal/cli/...", "services/lockbox/internal/doctor", "services/lockbox/internal/e2e/azure",
			"services/lockbox/internal/monitoring", "services/lockbox/internal/ops", "services/lockbox/internal/stack",
			"services/lockbox/internal/up/...", "services/notifier/...", "services/portal/...",
			"services/verifier/...",
		},
	},
	{
		name: "browser", atLeast: 1140,
		packages: []string{"services/lockbox/internal/e2e/portal", "services/notifier/internal/mail/pictures"},
	},
	{
		// Programs as processes of their own, started, killed and started again.
		name: "faults", atLeast: 5,
		packages: []string{"services/lockbox/internal/e2e/crash", "services/lockbox/internal/e2e/manual",
			"services/lockbox/internal/e2e/readme"},
	},
}
