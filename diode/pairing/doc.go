// Package pairing makes and reads the two files that join the ends of a link:
// the pre-shared key, which both ends hold, and the HPKE key pair, whose
// private half only the receive side holds.
//
//	Make ─┬─> DIODE-PAIRING.send.json     pre-shared key, public key  ─> send node
//	      └─> DIODE-PAIRING.receive.json  pre-shared key, private key ─> receive node
//	                 │
//	           Fingerprint: the same in both, for the operators to compare
//
// A File shows no secret, however it is printed or encoded; only Write puts
// them down, into a file that its owner alone may read and that is never
// overwritten.
//
// It must not decide which pairing is in use, and derives no key from them;
// frame does. The format stands in docs/formats/pairing.md.
package pairing
