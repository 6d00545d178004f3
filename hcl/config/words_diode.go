package config

import "github.com/sluice-gateway/sluice/hcl/value"

func diodeWord() blockWord {
	return blockWord{
		name:   "diode",
		labels: []string{"name"},
		doc:    "A one-way link between two nodes. One block configures both ends, so that they cannot differ.",
		attrs: []attributeWord{
			{name: "from", typ: nodeRef, required: true, doc: "The node that sends."},
			{name: "to", typ: nodeRef, required: true, doc: "The node that receives. Nothing ever comes back from it."},
			{name: "pairing", typ: value.String, required: true, doc: "Names the keys of this diode, which both nodes hold under this name. Keys never stand in a configuration."},
		},
		blocks: []blockWord{diodeSendWord(), diodeReceiveWord(), fecWord()},
	}
}

func diodeSendWord() blockWord {
	return blockWord{
		name:     "send",
		required: true,
		doc:      "The sending end.",
		attrs: []attributeWord{
			{name: "interface", typ: value.String, required: true, doc: "The interface that leads to the diode and carries nothing else."},
			{name: "source", typ: value.String, required: true, doc: "The IP address from which frames are sent."},
			{name: "destination", typ: value.String, required: true, doc: "IP address and UDP port of the receiving end."},
			{name: "destination_mac", typ: value.String, doc: "MAC address of the receiving end. Nothing answers ARP through a diode: without it a static neighbour must exist."},
			{
				name: "rate", typ: value.BitRate, def: `"100Mbit"`, min: new(64e3), max: new(400e9),
				doc: "Bits per second on the wire, headers included. Set it below what the diode passes: nothing can ask the sender to slow down.",
			},
			{
				name: "keep_sent", typ: value.Duration, def: `"14d"`,
				doc: "How long sent batches are kept so that they can be sent again. Given up before anything unsent is refused or dropped.",
			},
			{name: "mtu", typ: value.Int, def: "1500", min: new(float64(1280)), max: new(float64(9216)), doc: "Largest IP packet in bytes. Frames are never fragmented."},
		},
	}
}

func diodeReceiveWord() blockWord {
	return blockWord{
		name:     "receive",
		required: true,
		doc:      "The receiving end.",
		attrs: []attributeWord{
			{name: "interface", typ: value.String, required: true, doc: "The interface that comes from the diode and carries nothing else."},
			{name: "listen", typ: value.String, defDoc: "`send.destination`", doc: "IP address and UDP port on which frames arrive, where the diode changes them."},
			{name: "alarm_after", typ: value.Duration, def: `"5s"`, min: new(1e9), max: new(3600e9), doc: "Alarm after this time without a heartbeat; one is sent every second."},
			{
				name: "hole_after", typ: value.Duration, defDoc: "1 s after the last `fec.repeat`", min: new(10e6), max: new(3600e9),
				doc: "On a quiet link, the time after which a missing batch is declared a gap and those behind it are delivered. Longer than the last `fec.repeat`.",
			},
		},
	}
}

func fecWord() blockWord {
	return blockWord{
		name: "fec",
		doc:  "Forward error correction: what is sent in addition, so that lost frames can be computed instead of asked for.",
		attrs: []attributeWord{
			{name: "parity", typ: value.Percent, def: `"25%"`, min: new(0.02), max: new(float64(2)), doc: "Repair frames in percent of data frames, at least. `25%` is 1 repair frame per 4 data frames: 20 % of the wire."},
			{name: "design_loss", typ: value.Percent, def: `"1%"`, min: new(float64(0)), max: new(0.2), doc: "Random loss that small blocks must survive."},
			{name: "interleave", typ: value.Int, def: "1", min: new(float64(1)), max: new(float64(16)), doc: "Over how many blocks consecutive frames are spread, against losses in bursts."},
			{name: "max_delay", typ: value.Duration, def: `"10ms"`, min: new(float64(0)), max: new(10e9), doc: "Longest wait for company before a block that is not full is sent."},
			{
				name: "repeat", typ: value.StringList, def: "[]", max: new(float64(4)),
				doc: "Each batch is sent again after each of these times, against interruptions that forward error correction cannot bridge, such as `[\"2s\"]`.",
			},
		},
	}
}
