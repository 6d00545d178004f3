package capture

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// FuzzDecode wants of the decoder that it never panics, that what it accepts
// lies in the frame, that it says the same twice, and that it agrees with
// gopacket's other decoder on what the datagram holds.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.vector")
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no seeds")
	}
	for _, file := range files {
		v := readVector(f, file)
		f.Add(unhex(f, v["frame"]), v["summed"] == "yes", v["listen"][0] == '[')
	}
	f.Fuzz(func(t *testing.T, frame []byte, summed, v6 bool) {
		listen, source := vectorListen(v6)
		d := newDecoder(listen, source)
		before := bytes.Clone(frame)
		payload, why := d.decode(frame, summed)
		if again, whyAgain := d.decode(frame, summed); why != whyAgain || !bytes.Equal(payload, again) {
			t.Fatalf("%s %x, then %s %x", why, payload, whyAgain, again)
		}
		if !bytes.Equal(before, frame) {
			t.Fatal("the frame was changed")
		}
		if why != accepted {
			if payload != nil {
				t.Fatalf("%s with a payload", why)
			}
			return
		}
		agrees(t, frame, payload)
	})
}

func agrees(t *testing.T, frame, payload []byte) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok || !bytes.Equal(udp.Payload, payload) || udp.DstPort != 5760 {
		t.Fatalf("accepted %x of %x", payload, frame)
	}
}
