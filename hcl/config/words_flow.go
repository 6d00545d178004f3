package config

import "github.com/sluice-gateway/sluice/hcl/value"

func receiverWord() blockWord {
	return blockWord{
		name:   "receiver",
		labels: []string{"plugin", "name"},
		plugin: true,
		doc:    "Takes records in. It names a port and no interface: it listens on every service interface of its node, now and as they come and go. What only the plugin understands stands in `config {}`.",
		attrs: []attributeWord{
			{name: "node", typ: nodeRef, required: true, doc: "The node that it runs on."},
			{name: "enabled", typ: value.Bool, def: "true", doc: "A receiver that is not enabled opens nothing."},
			{name: "port", typ: value.Int, required: true, min: new(float64(1)), max: new(float64(65535)), doc: "TCP or UDP port, as the plugin's network says."},
			{name: "allow_from", typ: value.StringList, def: "[]", defDoc: "every address on a service interface", doc: "Prefixes or addresses that may send. Others are dropped before the plugin sees a byte, and counted."},
			{name: "connect", typ: value.StringList, def: "[]", doc: "Only for relaying protocols: the one target to which connections are passed on, address and port."},
			{name: "max_connections", typ: value.Int, def: "2000", min: new(float64(1)), max: new(float64(100000)), doc: "TCP connections at the same time. Others are refused and counted."},
			{name: "compression", typ: value.String, def: `"none"`, enum: []string{"none", "zstd"}, doc: "How batches are compressed before they are spooled and sent."},
			{
				name: "class", typ: value.String, def: `"bulk"`, enum: []string{ClassBulk, ClassCritical},
				doc: "The class in which its records travel. `critical` has a queue of its own on disk, goes before `bulk` on the wire, which keeps a share of it, and may have its own protection (`fec.critical`). Order is kept within a class only. A plugin may put single records into the critical class by itself, as `critical` of the syslog receivers does.",
			},
		},
	}
}

func sinkWord() blockWord {
	return blockWord{
		name:   "sink",
		labels: []string{"plugin", "name"},
		plugin: true,
		doc:    "Delivers records. What only the plugin understands stands in `config {}`.",
		attrs: []attributeWord{
			{name: "node", typ: nodeRef, required: true, doc: "The node that it runs on."},
			{name: "enabled", typ: value.Bool, def: "true", doc: "Records for a sink that is not enabled are not kept for it."},
			{name: "connect", typ: value.StringList, def: "[]", doc: "The only targets that are opened for this sink: IP address and port. Names are not resolved."},
		},
	}
}

func routeWord() blockWord {
	return blockWord{
		name:   "route",
		labels: []string{"name"},
		doc:    "What goes where. Each node derives its half.",
		attrs: []attributeWord{
			{name: "from", typ: receiverRefs, required: true, doc: "Receivers whose records take this route."},
			{name: "via", typ: diodeRefs, def: "[]", doc: "The diode between them; two in parallel, between the same two nodes, carry the same batches, and each is delivered once. Left out when receivers and sinks are on one node."},
			{name: "to", typ: sinkRefs, required: true, doc: "Sinks; each gets every record."},
		},
	}
}

func exceptionWord() blockWord {
	return blockWord{
		name:   "exception",
		labels: []string{"name"},
		doc:    "A written, dated, reasoned weakening of one defence. Shown in status; 30 days before its end as a warning. After its last day the component closes: it never widens.",
		attrs: []attributeWord{
			{name: "allows", typ: value.String, required: true, enum: weaknessNames(), doc: "What is weakened; see the table of exceptions."},
			{name: "on", typ: componentRef, required: true, doc: "The component that it is weakened on."},
			{name: "reason", typ: value.String, required: true, doc: "Why, in a sentence that an auditor understands."},
			{name: "approved_by", typ: value.String, required: true, doc: "Who answers for it."},
			{name: "until", typ: value.String, required: true, doc: "The last day, `\"2027-03-31\"` (UTC)."},
		},
	}
}
