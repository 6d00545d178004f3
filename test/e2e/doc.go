// Package e2e holds the tests of whole nodes: real processes, real third-party programs, and networks of namespaces.
//
//	endpoint (rsyslog, logger, sockets) ─► plant node ─► lossy one-way link ─► DMZ node ─► files, a stand-in for KICS
//	                                           └─ monitoring point ◄─ a peer that tries to reach us
//
// It has no code of its own beside tests.
package e2e
