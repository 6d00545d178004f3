// Package e2e holds the tests of whole nodes: real processes, real third-party programs, and networks of namespaces.
//
//	endpoint (rsyslog, logger, sockets) ─► plant node ─► lossy one-way link ─► DMZ node ─► files, a stand-in for KICS
//	                                           └─ monitoring point ◄─ a peer that tries to reach us
//
// What the one-way link does when it is cut, loses too much or stands still, and when nodes and keys are replaced, is
// tested with two nodes that have nothing else between them (crossing), driven by the commands that an operator types.
//
// It has no code of its own beside tests.
package e2e
