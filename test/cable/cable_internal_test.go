package cable

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/hcl/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	if d.Name != LinkName || d.Pairing != pairingName || d.From != plantName || d.To != dmzName {
		t.Errorf("%+v", d)
	}
	if d.Send.Destination != netip.MustParseAddrPort("127.0.0.1:1005") || d.Receive.Listen != netip.MustParseAddrPort("127.0.0.1:1004") {
		t.Errorf("sends to %v, listens at %v", d.Send.Destination, d.Receive.Listen)
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
	w.Cut()
	send("two")
	for deadline := time.Now().Add(10 * time.Second); w.Lost() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing vanishes")
		}
	}
	w.Mend()
	send("three")
	comes("three")
	cancel()
	<-done
}
