package config

// Protocol is one row of the table of protocols: what can be done with it with and without a diode, and why.
type Protocol struct {
	Name    string
	Network string // "tcp" or "udp"
	Records bool   // it yields records, so its receiver needs a route
	Relays  bool   // it passes connections on and so needs connect
	Direct  Verdict
	Diode   Verdict
}

// Verdict says whether a combination is allowed, and why, in a sentence for an operator.
type Verdict struct {
	Allowed bool
	Why     string
}

func allowed(why string) Verdict { return Verdict{Allowed: true, Why: why} }
func refused(why string) Verdict { return Verdict{Why: why} }

// Protocols is the table that Check and the reference manual share. A protocol that is not in it belongs to a plugin
// of somebody else, who answers for it.
//
// Why KICS's TCP mode cannot cross a diode: its agents send synchronisation requests that must be answered within
// seconds, and receive response commands that they acknowledge.
func Protocols() []Protocol {
	const answeredHere = "the gateway answers the endpoint itself once the record is on its own disk, so nothing has to come back through the diode"
	const oneWay = "datagrams have no answer, so nothing has to come back"
	return []Protocol{
		{
			Name: "syslog", Network: "tcp", Records: true,
			Direct: allowed("syslog over TCP has no acknowledgement of its own; TCP makes the sender wait when the spool is full"),
			Diode:  allowed("the gateway ends the connection; nothing has to come back through the diode"),
		},
		{Name: "syslog", Network: "udp", Records: true, Direct: allowed(oneWay), Diode: allowed(oneWay)},
		{
			Name: "opaque", Network: "udp", Records: true,
			Direct: allowed("datagrams are passed on unread, byte for byte"),
			Diode:  allowed("datagrams are passed on unread, byte for byte, and have no answer: the one mode of KICS agents that survives a diode"),
		},
		{
			Name: "opaque", Network: "tcp",
			Direct: refused(`a TCP stream that is not understood cannot be cut into records: use protocol = "relay" to pass connections on`),
			Diode:  refused("KICS's TCP mode needs answers from the integration server, and a diode carries none: use the agents' UDP mode"),
		},
		{
			Name: "relay", Network: "tcp", Relays: true,
			Direct: allowed("connections are passed on unread, both ways; it yields no records and stands in no route"),
			Diode:  refused("a relay passes answers back, and a diode carries none: use the agents' UDP mode, or put the integration server on this side"),
		},
		{Name: "relp", Network: "tcp", Records: true, Direct: allowed("acknowledged once the record is on the gateway's disk"), Diode: allowed(answeredHere)},
		{Name: "http", Network: "tcp", Records: true, Direct: allowed("answered once the records are on the gateway's disk"), Diode: allowed(answeredHere)},
		{Name: "envelope", Network: "tcp", Records: true, Direct: allowed("acknowledged once the records are on the gateway's disk"), Diode: allowed(answeredHere)},
		{Name: "sealed", Network: "udp", Records: true, Direct: allowed("encrypted datagrams of ours; " + oneWay), Diode: allowed("encrypted datagrams of ours; " + oneWay)},
	}
}

// protocolOf finds the row of a protocol on a network; known is whether the protocol stands in the table at all.
func protocolOf(name, network string) (row Protocol, known, fits bool) {
	for _, p := range Protocols() {
		if p.Name != name {
			continue
		}
		known = true
		if p.Network == network {
			return p, true, true
		}
	}
	return Protocol{}, known, false
}
