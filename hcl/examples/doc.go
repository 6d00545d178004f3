// Package examples carries configurations that operators start from: the quickstart, which is embedded so that
// `sluice run` works without any file, and a complete site. It holds no logic. Every file is loaded by a test, so that
// an example never shows what the product does not take.
//
//	quickstart/     two nodes on the loopback interface of one machine, run without root
//	substation-7/   one site with a real diode: genuine KICS agents in UDP mode, other software by syslog over TLS
package examples
