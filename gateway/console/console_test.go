package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, path string, st console.Status) {
	t.Helper()
	s, err := console.Listen(t.Context(), path, func() console.Status { return st })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStatusCrossesTheSocketOfItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n", console.SocketName)
	serve(t, path, sample())
	got, err := console.Fetch(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Node != "gw-plant" || got.Receivers[0].Records != 12 {
		t.Fatalf("%+v", got)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}
}

func TestSecondServerOfANodeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), console.SocketName)
	serve(t, path, sample())
	if _, err := console.Listen(t.Context(), path, sample); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("%v", err)
	}
}

func TestSocketOfAKilledProcessIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), console.SocketName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, path, sample())
	if _, err := console.Fetch(t.Context(), path); err != nil {
		t.Fatal(err)
	}
}

func TestTooLongAPathIsExplained(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 120), console.SocketName)
	if _, err := console.Listen(t.Context(), path, sample); err == nil || !strings.Contains(err.Error(), "107") {
		t.Fatalf("%v", err)
	}
}

func TestNobodyThereIsSaid(t *testing.T) {
	if _, err := console.Fetch(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no node answers") {
		t.Fatalf("%v", err)
	}
}

const epoch = "6a0cf1b2d3e4f5061728394a5b6c7d8e"

// sample has one of everything that an operator must be able to see.
func sample() console.Status {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return console.Status{
		Node: "gw-plant", Site: "substation-7", Version: "0.1.0", PID: 4711, Started: at, Ready: true,
		Guard: console.Guard{
			State: "ok", Warden: &console.Warden{PID: 4700, Known: true, At: at},
			Interfaces: []console.Interface{
				{
					Name: "eno1", Index: 2, MAC: "02:00:5e:10:00:01", PermMAC: "02:00:5e:10:00:01", AltNames: []string{"enp3s0f0"},
					Path: "/pci0000:00/0000:03:00.0", Kind: "device", Addresses: []string{"10.20.0.5/24", "fe80::1/64"},
					Up: true, Role: "service", Reason: "it is nothing else", Accepted: true,
				},
				{
					Name: "eno3", Index: 4, MAC: "02:00:5e:10:00:03", Kind: "device", Up: true, Role: "monitoring",
					Reason: `named "eno3" in monitoring_points`, Rules: []string{"eno3"}, Accepted: true, Barriers: fenced(),
				},
				{Name: "eno4", Index: 5, MAC: "02:00:5e:10:00:04", Kind: "device", Role: "closed", Reason: "it appeared later", Fresh: true},
			},
			Input:    &console.Check{Name: "nft input", OK: true},
			Restored: []console.Restored{{At: at, Interface: "eno3", What: "arp was switched on"}},
		},
		Receivers: []console.Receiver{{
			Name: "udp.kics-agents", Protocol: "opaque", Network: "udp", Port: 20001, Encryption: "declared", Rate: 2.5, Records: 12, Bytes: 3400,
			Sockets: []console.Socket{{Interface: "eno1", Local: "0.0.0.0:20001", State: "listening"}},
			Plugin:  console.Plugin{Status: "backing-off", Restarts: 2, LastError: "exit status 2", Missing: []string{"landlock"}},
			Traffic: console.Traffic{KernelDrops: 5},
			Dropped: map[string]console.Drop{"spool-full": {Batches: 1, Records: 7}}, Refused: map[string]uint64{"allow_from": 3},
		}},
		Spools: []console.Spool{{
			Origin: "via plant-to-dmz", Class: "bulk", State: "ok", First: 1, Next: 13, Entries: 12, Bytes: 4096,
			Error: "no space left on device",
			Cursors: map[string]console.Cursor{
				"link.plant-to-dmz": {Acked: 10, LagEntries: 2, LagBytes: 700, LagRecords: 2, Dropped: console.Drop{Batches: 6, Records: 66}},
			},
			Dropped: map[string]console.Drop{"full": {Batches: 1, Records: 7}}, Lost: console.Drop{Batches: 1, Records: 4},
		}},
		Links: []console.Link{
			{
				Name: "plant-to-dmz", Direction: "receive", State: "up", Peer: "gw-plant at 10.99.0.2:5760", Lost: console.Drop{Batches: 3, Records: 9},
				Pairings: []console.Pairing{{Name: "2026-11", Fingerprint: "b1946ac92492d234"}},
				Alarms:   []string{"sender state went back"},
				Gaps: []console.GapTotals{{
					Class: "bulk", Declared: console.Amount{Batches: 3, Records: 9}, Filled: console.Amount{Batches: 1, Records: 2},
					Open: console.Amount{Batches: 2, Records: 7}, OpenRanges: 1,
				}},
				Receive: &console.ReceiveEnd{
					Session: 8, LastHeartbeat: at, LastBatch: at, Health: json.RawMessage(`{"node":"gw-plant","behind":2}`),
					Classes: []console.ReceiveClass{{
						Class: "bulk", Epoch: epoch, NearFirst: 1, NearAccepted: 12, NearSent: 10, NearOldest: at, Next: 11,
					}},
					Batches: 7, Bytes: 2900, Gaps: 1, GapRecords: 9,
				},
			},
			{Name: "back", Direction: "send", State: "holding: network is down", Peer: "gw-x 10.99.1.2:5760", Send: &console.SendEnd{
				Session: 3, ShardBytes: 1408, DataShards: 64, ParityShards: 16, Frames: 90, WireBytes: 130000, Batches: 2, Holds: 1, HoldingSince: at,
				Classes: []console.SendClass{{Class: "bulk", Epoch: epoch, First: 1, Accepted: 12, Sent: 10, Oldest: at}},
				Resend:  console.ResendProgress{Queued: 3, Sent: 1, Bytes: 900},
			}},
		},
		Sinks: []console.Sink{{
			Name: "kics.node-a", Delivery: "sent", Takes: []string{"udp.kics-agents"}, Records: 9, Last: &at, Holding: "connection refused",
			Plugin: console.Plugin{Status: "running", PID: 99}, Refused: map[string]uint64{"dial tcp 10.0.0.1:22": 1},
		}},
		Exceptions: []console.Exception{{Name: "legacy", Allows: "unencrypted_udp", On: "receiver.udp.kics-agents", Until: "2027-03-31", ApprovedBy: "j.doe", Reason: "old"}},
		Audit:      auditlog.Head{Seq: 17, Hash: strings.Repeat("5a", 32)},
		Warnings:   []string{"something is closed"},
	}
}

// fenced is what stands before an interface when all is well.
func fenced() *console.Barriers {
	return &console.Barriers{
		Egress:  []console.Check{{Name: "nft egress", OK: true}, {Name: "tc egress", OK: true}},
		Ingress: []console.Check{{Name: "nft ingress", OK: true}}, Quiet: []console.Check{{Name: "arp", OK: true}},
		Dropped: map[string]uint64{"nft egress": 5},
	}
}

func TestTextShowsEveryLossAndEveryWeakness(t *testing.T) {
	var out bytes.Buffer
	if err := console.Text(&out, sample()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"node gw-plant (site substation-7)", "eno3", "monitoring", "encryption declared", "backing-off, 2 restarts: exit status 2",
		"dropped by the kernel's socket queue: 5 datagrams", "dropped (spool-full): 1 batches, 7 records", "refused (allow_from): 3",
		"2 records behind", "no space left", "dropped before it had them: 6 batches, 66 records", "lost to damage on disk: 1 entries, 4 records", "missing: 2 batches, 7 records", "in 1 range: sluice diode gaps plant-to-dmz",
		"ever declared missing 3 batches, 9 records; filled 1 batch, 2 records; lost for good 0 batches, 0 records", "ALARM: sender state went back",
		"near side says: node gw-plant, behind 2", "sent again on request: 1 batch, 900 B; 3 still to go", "near side sent to 10", "pairing 2026-11, fingerprint b194",
		"9 records sent",
		"holding: connection refused", "refused (dial tcp 10.0.0.1:22): 1", "unencrypted_udp on receiver.udp.kics-agents", "something is closed",
		"before eno3: out nft egress ok, tc egress ok; in nft ingress ok; quiet 1 setting ok; sent 0, dropped 5 by nft egress",
		"the warden (pid 4700) looked at", "set right again at 2026-11-23 12:00:00Z: eno3: arp was switched on",
		"sandbox DEGRADED, without: landlock", "audit log: entry 17, 5a5a", "encryption for UDP", "10.20.0.5", "opaque on 20001",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, out.String())
		}
	}
}

// TestTheDocumentShowsWhatIsServed keeps the names of fields: programs read them.
func TestTheDocumentShowsWhatIsServed(t *testing.T) {
	doc, err := os.ReadFile("../../docs/formats/status.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(doc), "```json\n")
	shown, _, _ = strings.Cut(shown, "```")
	_, text, _ := strings.Cut(string(doc), "```text\n")
	text, _, _ = strings.Cut(text, "```")
	var want, people bytes.Buffer
	if err := console.Text(&people, sample()); err != nil {
		t.Fatal(err)
	}
	if text != people.String() {
		t.Errorf("docs/formats/status.md must show the text:\n%s", people.String())
	}
	enc := json.NewEncoder(&want)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(sample()); err != nil {
		t.Fatal(err)
	}
	if shown != want.String() {
		t.Fatalf("docs/formats/status.md must show:\n%s", want.String())
	}
}

// A node that has just begun to listen has no time to answer: it is alive all the same.
func TestAServerThatDoesNotAnswerYetKeepsItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), console.SocketName)
	first, err := console.Listen(t.Context(), path, sample)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := console.Listen(t.Context(), path, sample); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

// What status reads may be given up as soon as Run has returned.
func TestStatusIsNotAskedAfterTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), console.SocketName)
	asked, answer := make(chan struct{}), make(chan struct{})
	s, err := console.Listen(t.Context(), path, func() console.Status {
		close(asked)
		<-answer
		return sample()
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		_, _ = console.Fetch(t.Context(), path)
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		t.Error("Run returned while status was asked:", err)
	case <-fetched: // the connection has been cut; the call goes on
	}
	close(answer)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAPathThatIsADirectoryIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), console.SocketName)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := console.Listen(t.Context(), path, sample); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("%v", err)
	}
}
