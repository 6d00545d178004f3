// Package load makes the traffic of a benchmark: numbered syslog messages, sent over TLS or UDP from a process of its
// own, and the time they take to appear in a file.
//
//	seed ─► Frames ─┬─► SendTLS   as fast as the other side takes them, or paced
//	                ├─► SendUDP   paced
//	                └─► Tail      number of each line that appears ─► Latency
//
// Every message has a number, and its bytes follow from the number and the seed: whoever reads the result can compute
// what it must hold. The package knows neither Sluice nor the yardstick, and it must not cost the machine more than it
// has to: one copy and twelve digits per message.
package load
