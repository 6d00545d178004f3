// Package severity reads how severe a syslog message says it is, and nothing else of it.
//
//	<34>Oct 11 22:14:15 host su: …
//	 ▲
//	 └ priority = facility × 8 + severity (RFC 5424, section 6.2.1; RFC 3164, section 4.1.1): 34 is 4 × 8 + 2, "crit"
//
// It does not judge messages: one without a readable priority is a message without a severity.
package severity
