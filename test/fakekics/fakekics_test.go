package fakekics_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/test/fakekics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReceivesAndRecords(t *testing.T) {
	r, err := fakekics.Open(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var file bytes.Buffer
	count, done := make(chan struct{}, 8), make(chan error, 1)
	go func() {
		done <- r.Receive(ctx, func(d fakekics.Datagram) error {
			defer func() { count <- struct{}{} }()
			return fakekics.Write(&file, d)
		})
	}()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "udp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	sent := []string{"one", "", "three"}
	for _, s := range sent {
		if _, err := c.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		<-count
	}
	stop()
	if err := <-done; err != nil || r.Dropped() != 0 {
		t.Fatalf("%v, %d dropped", err, r.Dropped())
	}
	i := 0
	for d, err := range fakekics.Read(&file) {
		if err != nil {
			t.Fatal(err)
		}
		if string(d.Data) != sent[i] || d.Source.String() != c.LocalAddr().String() || time.Since(d.Time) > time.Minute {
			t.Errorf("%d: %+v", i, d)
		}
		i++
	}
	if i != len(sent) {
		t.Errorf("%d datagrams, want %d", i, len(sent))
	}
}

func TestClosedPortRefuses(t *testing.T) {
	r, err := fakekics.Open(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	at := r.Addr()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.Receive(ctx, nil); err != nil {
		t.Fatal(err)
	}
	c, err := (&net.Dialer{}).DialContext(t.Context(), "udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = c.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("nobody refused")
	}
}

func TestDamagedFile(t *testing.T) {
	var file bytes.Buffer
	d := fakekics.Datagram{Time: time.Unix(1, 2), Source: netip.MustParseAddrPort("[fe80::1]:7"), Data: []byte("abc")}
	if err := fakekics.Write(&file, d); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	for n := 1; n < len(whole); n++ {
		var last error
		for _, err := range fakekics.Read(bytes.NewReader(whole[:n])) {
			last = err
		}
		if !errors.Is(last, fakekics.ErrRecord) {
			t.Errorf("cut at %d: %v", n, last)
		}
	}
	if err := fakekics.Write(&file, fakekics.Datagram{Data: make([]byte, 1<<16)}); err == nil {
		t.Error("no datagram is that long")
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	_ = fakekics.Write(&file, fakekics.Datagram{Source: netip.MustParseAddrPort("10.0.0.1:1"), Data: []byte("seed")})
	f.Add(file.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		for d, err := range fakekics.Read(bytes.NewReader(b)) {
			if err != nil {
				return
			}
			if len(d.Data) > len(b) {
				t.Fatal("more data than there is")
			}
		}
	})
}
