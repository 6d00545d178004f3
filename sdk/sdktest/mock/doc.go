// Package mock is a plugin that fails on purpose, for the tests of whoever hosts plugins and of the conformance suites.
//
//	test binary ── re-executed with SLUICE_MOCK=receiver/panic-run ──► mock.Serve ── what comes before Serve
//	     └── or in process: mock.NewReceiver(fault)                                  └── sdk.Serve(plugin with the fault)
//
// Without a fault it works: it takes in what its `network` attribute says, or makes records of its own. It must not be
// used outside tests.
package mock
