package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/hcl/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDemo runs the demo with a shorter cut, as a newcomer does, with programs built from this tree.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs two nodes for about ten seconds")
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./cmd/...")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var out bytes.Buffer
	err := show(t.Context(), &out, bin, 2*time.Second)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dmz$ sluice diode gaps plant-to-dmz", "plant$ sluice diode resend plant-to-dmz ", "missing           0", "plant-to-dmz: nothing is missing"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not show %q", want)
		}
	}
}

func TestTheConfigurationIsTheQuickstarts(t *testing.T) {
	dir := t.TempDir()
	p := ports{udp: 1001, tcp: 1002, tls: 1003, link: 1004}
	if err := writeConfig(dir, p, "127.0.0.1:1005"); err != nil {
		t.Fatal(err)
	}
	cfg, _, problems := config.Load(dir)
	if cfg == nil || problems.HasErrors() {
		t.Fatal(problems)
	}
	d := cfg.Diodes[0]
	if d.Name != linkName || d.Pairing != pairingName || d.From != plantName || d.To != dmzName {
		t.Errorf("%+v", d)
	}
	if d.Send.Destination != netip.MustParseAddrPort("127.0.0.1:1005") || d.Receive.Listen != netip.MustParseAddrPort("127.0.0.1:1004") {
		t.Errorf("sends to %v, listens at %v", d.Send.Destination, d.Receive.Listen)
	}
}

func TestCount(t *testing.T) {
	line := func(n int) string { return fmt.Sprintf("{\"payload\":\"<14>1 ok, message %d\"}\n", n) }
	for _, c := range []struct {
		name, records string
		want          tally
		wrong         bool
	}{
		{name: "nothing", want: tally{missing: 3}},
		{name: "all", records: line(0) + line(1) + line(2), want: tally{arrived: 3}},
		{name: "late", records: line(2) + line(1) + line(0), want: tally{arrived: 3}},
		{name: "one missing", records: line(0) + line(2), want: tally{arrived: 2, missing: 1}},
		{name: "one twice", records: line(0) + line(1) + line(1) + line(2), want: tally{arrived: 3, twice: 1}},
		{name: "being written", records: line(0) + line(1) + `{"payload":"mess`, want: tally{arrived: 2, missing: 1}},
		{name: "never sent", records: line(3), wrong: true},
		{name: "another", records: `{"payload":"hello"}` + "\n", wrong: true},
		{name: "no record", records: "hello\n", wrong: true},
	} {
		got, err := count([]byte(c.records), 3)
		if (err != nil) != c.wrong || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestTheWireForwardsUnlessItIsCut(t *testing.T) {
	var lc net.ListenConfig
	far, err := lc.ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close() //nolint:errcheck // of the test
	w, err := newWire(t.Context(), netip.MustParseAddrPort(far.LocalAddr().String()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	var d net.Dialer
	near, err := d.DialContext(t.Context(), "udp4", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close() //nolint:errcheck // of the test
	send := func(text string) {
		if _, err := near.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	comes := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := far.ReadFrom(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("%q came, %v; want %q", buf[:n], err, want)
		}
	}
	send("one")
	comes("one")
	w.cut.Store(true)
	send("two")
	for deadline := time.Now().Add(10 * time.Second); w.lost.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing vanishes")
		}
	}
	w.cut.Store(false)
	send("three")
	comes("three")
	cancel()
	<-done
}
