package config

import "github.com/sluice-gateway/sluice/hcl/value"

// Limits of forward error correction. For every parity and design loss within them there is a shape of blocks: 128 data
// and 128 repair frames survive a loss of a fifth (but for far less than one block in 1e9).
const (
	minParity     = 0.02
	maxParity     = 1.0
	maxDesignLoss = 0.2
	maxBlockDelay = 250e6 // nanoseconds; a receiving end gives a quiet block up after 300 ms
)

func diodeWord() blockWord {
	return blockWord{
		name:   "diode",
		labels: []string{"name"},
		doc:    "A one-way link between two nodes. One block configures both ends, so that they cannot differ.",
		attrs: []attributeWord{
			{name: "from", typ: nodeRef, required: true, doc: "The node that sends."},
			{name: "to", typ: nodeRef, required: true, doc: "The node that receives. Nothing ever comes back from it."},
			{name: "pairing", typ: value.String, required: true, doc: "Names the keys of this diode, which both nodes hold under this name. Keys never stand in a configuration."},
			{
				name: "previous_pairing", typ: value.String,
				doc: "Names the keys before these, while keys are changed: the receiving end still takes them, the sending end no longer uses them. Take it out when both nodes run with the new pairing.",
			},
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
				name: "resend_rate", typ: value.BitRate, defDoc: "a quarter of `rate`", min: new(16e3), max: new(400e9),
				doc: "Of `rate`, how much sending again may use (`sluice diode resend`). Below `rate`, so that what is new is never held up by what is old.",
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
			{name: "source", typ: value.String, defDoc: "`send.source`", doc: "IP address from which frames come, where the diode changes it."},
			{name: "alarm_after", typ: value.Duration, def: `"5s"`, min: new(1e9), max: new(3600e9), doc: "Alarm after this time without a heartbeat; one is sent every second."},
			{
				name: "hole_after", typ: value.Duration, defDoc: "1 s after the last `repeat` of any class", min: new(500e6), max: new(3600e9),
				doc: "On a quiet link, the time after which a missing batch is declared a gap and those behind it are delivered. Longer than the last `repeat` of any class.",
			},
			{
				name: "capture", typ: value.String, def: `"socket"`, enum: []string{CaptureSocket, CapturePacket},
				doc: "How frames are taken from the interface. `socket` is a UDP socket. `packet` reads them from a ring that is shared with the kernel: the interface then needs no IP address at all, and nothing on this node can answer from it.",
			},
			{
				name: "memory", typ: value.Bytes, def: `"256MiB"`, min: new(float64(32 << 20)), max: new(float64(64 << 30)),
				doc: "Memory for what waits: blocks that are not complete, batches behind a missing one, batches on their way to the disk. What finds no room is dropped in whole batches, counted and named as a gap.",
			},
			{
				name: "when_full", typ: value.String, enum: []string{"drop-new", "drop-oldest"}, defDoc: "what `spool.when_full` of the receiving node says, `\"drop-new\"` where that is left out",
				doc: "What of this diode is given up when the spool of the receiving node is full: whole batches, counted and named as gaps, which can be sent again. There is no `refuse`: nobody can be told to wait through a diode.",
			},
		},
	}
}

func fecWord() blockWord {
	return blockWord{
		name: "fec",
		doc:  "Forward error correction: what is sent in addition, so that lost frames can be computed instead of asked for.",
		attrs: []attributeWord{
			{name: "parity", typ: value.Percent, def: `"25%"`, min: new(minParity), max: new(maxParity), doc: "Repair frames in percent of data frames, at least. `25%` is 1 repair frame per 4 data frames: 20 % of the wire."},
			{name: "design_loss", typ: value.Percent, def: `"1%"`, min: new(float64(0)), max: new(maxDesignLoss), doc: "Random loss that blocks must survive; repair frames are added until they do."},
			{name: "interleave", typ: value.Int, def: "1", min: new(float64(1)), max: new(float64(16)), doc: "Over how many blocks consecutive frames are spread, against losses in bursts."},
			{name: "max_delay", typ: value.Duration, def: `"10ms"`, min: new(float64(0)), max: new(maxBlockDelay), doc: "Longest wait for company before a block that is not full is sent."},
			{
				name: "repeat", typ: value.StringList, def: "[]", max: new(float64(4)),
				doc: "Each batch is sent again after each of these times, against interruptions that forward error correction cannot bridge, such as `[\"2s\"]`. It costs the whole batch each time; batches behind a lost one wait for it until its last repeat.",
			},
		},
		blocks: []blockWord{criticalWord()},
	}
}

func criticalWord() blockWord {
	return blockWord{
		name: "critical",
		doc:  "Protection of the critical class where it differs from that of all others. Alerts are few: they can be repaired and repeated far more for next to no bandwidth.",
		attrs: []attributeWord{
			{name: "parity", typ: value.Percent, defDoc: "`fec.parity`", min: new(minParity), max: new(maxParity), doc: "Repair frames in percent of data frames, at least."},
			{name: "design_loss", typ: value.Percent, defDoc: "`fec.design_loss`", min: new(float64(0)), max: new(maxDesignLoss), doc: "Random loss that blocks must survive."},
			{name: "max_delay", typ: value.Duration, defDoc: "`fec.max_delay`", min: new(float64(0)), max: new(maxBlockDelay), doc: "Longest wait for company before a block that is not full is sent."},
			{
				name: "repeat", typ: value.StringList, defDoc: "`fec.repeat`", max: new(float64(4)),
				doc: "Each batch is sent again after each of these times. `[]` repeats nothing, also where `fec.repeat` does.",
			},
		},
	}
}
