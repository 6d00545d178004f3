// Package trafficgen makes traffic that can be checked byte by byte on the far
// side: from the same seed come the same distinct datagrams and syslog
// messages, so that the comparing test needs no copy of what was sent.
//
// It must not know the product.
//
//	seed, count ─> Datagrams ─┐
//	seed, count ─> Messages ──┴─> Sender (rate, source) ─> UDP, TCP, TLS
package trafficgen
