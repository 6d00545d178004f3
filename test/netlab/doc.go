// Package netlab builds networks for tests out of Linux network namespaces:
// veth cables, addresses, static neighbours, nft rules, random loss, and
// witnesses that count the frames of an interface.
//
// It must not import any room of the product, and touches nothing outside the
// namespaces that it made itself. Names are unique per test and process;
// everything is removed when the test ends, and what a killed run of the same
// test left behind is removed by the next.
//
//	New(t) ── Lab ── Namespace ── Command, Do, Nft, Witness
//	                     │
//	                   Cable ── Namespace
//
// Isolate(t) runs a test again in a process that lives in a namespace of its
// own, for code that looks at the interfaces of its process. Site(t) builds a
// whole site:
//
//	 endpoint        plant                 forwarder              dmz           kics
//	┌────────┐     ┌────────────┐        ┌───────────┐        ┌───────────┐   ┌──────┐
//	│   eth0 ├─────┤svc0    dtx0├───────>│in0 → out0 ├───────>│drx0   svc0├───┤eth0  │
//	└────────┘     │    mon0    │ no way │ loss here │  back  └───────────┘   └──────┘
//	               └─────┬──────┘        └───────────┘
//	               ┌─────┴──────┐
//	               │    eth0    │ monitor: the peer of the monitoring point
//	               └────────────┘
package netlab
