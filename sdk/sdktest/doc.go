// Package sdktest is how a plugin is tested: conformance suites (Receiver, Sink) that hold it to the contract, and a
// harness that plays the core for tests of its own.
//
//	         harness (the core's side)          │            plugin under test
//	                                            │
//	Records, HoldAcks, FailNext ◄── sdk client ═╪═ gRPC in memory ═ sdk server ── Run
//	Deliver, WaitAck, Rejections                │                                  │
//	Dial, SendDatagrams, Datagrams ═ control socket and socketpairs ══════════ sdk.Network
//
// Both sides of the border are the real ones; only go-plugin and the processes are left out. The harness opens no inet
// socket: an address is a name for a socketpair. It must not be used outside tests.
package sdktest
