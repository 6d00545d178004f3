// Package fence keeps frames from leaving and reaching the interfaces that
// must stay silent, and reads back whether it does.
//
//	Plan ──Apply──> nftables: table netdev, egress and ingress chain per interface (owned)
//	                          table inet, input: our ports only on service interfaces
//	                clsact:   an eBPF program per direction and interface
//	                quiet:    sysctls and link flags that keep the kernel from wanting to talk
//	   ^                        │
//	   └──────── Findings <──Audit: chains, programs, flags, relatives, XDP, addresses, counters
//
// The two egress drops share nothing: each stands when the other is taken
// away. What is new is installed and read back while the interface is down;
// what an earlier process left standing is continued while it is up.
//
//	Apply:  read ─> stale drops go ─> input ─> down, if nothing stands before it
//	        ─> read ─> drops and quiet settings that differ ─> read ─> all there? ─> up
//
// The tables belong to one netlink socket. It can be kept by another process
// (Table.File, AdoptTable), so that they outlive the one that made them; the
// programs of clsact stay in any case.
//
// It must not decide which interface has which role, open sockets for records,
// or know that there is another process: it is the privileged hand, nothing
// else.
package fence
