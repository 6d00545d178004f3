package sinkfile_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	sinkfile "github.com/sluice-gateway/sluice/plugins/sink-file"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

// childPath in the environment makes the test binary play a sink that its parent kills.
const childPath = "SINKFILE_TEST_CHILD_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		os.Exit(child(path))
	}
	goleak.VerifyTestMain(m)
}

func record(i int) sdk.Record {
	return sdk.Record{Kind: sdk.KindSyslog, Received: time.Unix(1_800_000_000, 0), Payload: fmt.Appendf(nil, "<13>message %d", i)}
}

func payloads(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		t.Fatalf("%s ends with half a line", path)
	}
	var out []string
	for line := range bytes.Lines(b) {
		var o struct {
			Payload string `json:"payload"`
		}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, o.Payload)
	}
	return out
}

func TestWritesAndAcknowledges(t *testing.T) {
	dir := t.TempDir()
	h := sdktest.NewSink(t, sinkfile.New(), sdktest.Options{Config: `{"path":"out/r.ndjson"}`, RootDir: dir})
	var last uint64
	for i := range 100 {
		last = h.Deliver(t, record(2*i), record(2*i+1))
	}
	h.WaitAck(t, last)
	got := payloads(t, filepath.Join(dir, "out/r.ndjson"))
	if len(got) != 200 {
		t.Fatalf("%d lines", len(got))
	}
	for i, p := range got {
		if want := fmt.Sprintf("<13>message %d", i); p != want {
			t.Fatalf("line %d: %q", i, p)
		}
	}
	h.Stop(t)
}

func TestDeliveredAgainIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	o := sdktest.Options{Config: `{"path":"r.ndjson"}`, RootDir: dir}
	h := sdktest.NewSink(t, sinkfile.New(), o)
	first, second := h.Batch(t, record(0), record(1)), h.Batch(t, record(2), record(3))
	third := h.Batch(t, record(4))
	h.DeliverBatch(first)
	h.WaitAck(t, h.DeliverBatch(second))
	h.Stop(t)
	h = sdktest.NewSink(t, sinkfile.New(), o)
	h.DeliverBatch(first)
	h.DeliverBatch(second)
	h.WaitAck(t, h.DeliverBatch(third))
	if err := h.Finish(t); err != nil {
		t.Fatal(err)
	}
	if got := payloads(t, filepath.Join(dir, "r.ndjson")); len(got) != 5 {
		t.Fatalf("%q", got)
	}
}

func TestDamagedBatch(t *testing.T) {
	dir := t.TempDir()
	h := sdktest.NewSink(t, sinkfile.New(), sdktest.Options{Config: `{"path":"r.ndjson"}`, RootDir: dir})
	good := h.Batch(t, record(0), record(1))
	h.DeliverBatch([]byte("garbage"))
	h.WaitAck(t, h.DeliverBatch(good))
	rs := h.Rejections()
	if len(rs) != 1 || rs[0].Number != 1 || rs[0].Record != 0 || rs[0].Err == nil {
		t.Fatalf("rejections %+v", rs)
	}
	if got := payloads(t, filepath.Join(dir, "r.ndjson")); len(got) != 2 {
		t.Fatalf("%q", got)
	}
	h.Stop(t)
}

func TestHoldsWhileItCannotWrite(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "out")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil { // a file where a directory must be
		t.Fatal(err)
	}
	h := sdktest.NewSink(t, sinkfile.New(), sdktest.Options{Config: `{"path":"out/r.ndjson"}`, RootDir: dir})
	n := h.Deliver(t, record(0))
	if reason := h.WaitHolding(t, true); !strings.Contains(reason, "not a directory") {
		t.Fatalf("holding: %q", reason)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	h.WaitAck(t, n)
	h.WaitHolding(t, false)
	if got := payloads(t, filepath.Join(dir, "out/r.ndjson")); len(got) != 1 {
		t.Fatalf("%q", got)
	}
	h.Stop(t)
}

// TestFullDisk fills a file system of a megabyte and makes room again.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=1m", "sluice-sinkfile-test", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small file system: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil { //nolint:noctx // the test's context has ended
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 900<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	h := sdktest.NewSink(t, sinkfile.New(), sdktest.Options{Config: `{"path":"r.ndjson"}`, RootDir: dir, StateDir: t.TempDir()})
	var last uint64
	for i := range 3000 {
		last = h.Deliver(t, record(i))
	}
	if reason := h.WaitHolding(t, true); !strings.Contains(reason, "no space left") {
		t.Fatalf("holding: %q", reason)
	}
	payloads(t, filepath.Join(dir, "r.ndjson")) // ends with a whole line
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	h.WaitAck(t, last)
	got := payloads(t, filepath.Join(dir, "r.ndjson"))
	if len(got) != 3000 || got[2999] != "<13>message 2999" {
		t.Fatalf("%d lines", len(got))
	}
	h.Stop(t)
}

// TestKill kills a sink process at arbitrary moments and delivers again what it had not acknowledged, as the core does:
// at the end every record is there once.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(7, 7))
	acked := 0
	for kills := 0; acked < childBatches && kills < 200; kills++ {
		acked = killed(t, dir, acked, 1+random.IntN(60), kills < 12)
	}
	if acked != childBatches {
		t.Fatalf("%d of %d batches acknowledged", acked, childBatches)
	}
	seen := map[string]int{}
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		for _, p := range payloads(t, filepath.Join(dir, f.Name())) {
			seen[p]++
		}
	}
	for i := range childBatches * childRecords {
		if n := seen[childPayload(i)]; n != 1 {
			t.Fatalf("record %d is there %d times", i, n)
		}
	}
	if len(found) < 3 {
		t.Fatalf("%d files: the test must meet rotation", len(found))
	}
}

const (
	childBatches = 400
	childRecords = 25
)

func childPayload(i int) string { return fmt.Sprintf("<13>record %d %s", i, strings.Repeat("x", 100)) }

// killed runs one child from the first batch that is not acknowledged and returns how many are afterwards.
func killed(t *testing.T, dir string, acked, after int, kill bool) int {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childPath+"="+filepath.Join(dir, "r.ndjson"), "SINKFILE_TEST_FROM="+strconv.Itoa(acked))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		if acked, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if kill && n == after {
			_ = cmd.Process.Kill() // acknowledgements that are under way count
		}
	}
	if err := cmd.Wait(); err != nil && !kill {
		t.Fatalf("child: %v", err)
	}
	return acked
}

// childOutlet delivers the batches of the test and prints what is acknowledged.
type childOutlet struct {
	from, next int
}

func (o *childOutlet) Next(context.Context) (sdk.Delivery, error) {
	if o.next == childBatches {
		return sdk.Delivery{}, io.EOF
	}
	head := sdk.Header{First: uint64(o.next*childRecords) + 1, Receiver: "tcp.test"}
	recs := make([]sdk.Record, childRecords)
	for i := range recs {
		recs[i] = sdk.Record{Kind: sdk.KindSyslog, Received: time.Unix(1, 0), Payload: []byte(childPayload(o.next*childRecords + i))}
	}
	raw, err := sdk.Encode(nil, head, recs)
	o.next++
	return sdk.Delivery{Number: uint64(o.next - o.from), Data: raw}, err
}

func (o *childOutlet) Ack(_ context.Context, through uint64, _ ...sdk.Rejection) error {
	_, err := fmt.Fprintln(os.Stdout, o.from+int(through))
	return err
}

func (o *childOutlet) Hold(_ context.Context, reason string) error {
	if reason != "" {
		return errors.New(reason)
	}
	return nil
}

func child(path string) int {
	from, err := strconv.Atoi(os.Getenv("SINKFILE_TEST_FROM"))
	if err != nil {
		return 2
	}
	config := json.RawMessage(fmt.Sprintf(`{"path":%q,"rotate_size":1000000}`, path))
	s := sinkfile.New()
	if err := s.Configure(context.Background(), sdk.Setup{Config: config, Log: slog.New(slog.DiscardHandler)}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := s.Run(context.Background(), nil, &childOutlet{from: from, next: from}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestValidate(t *testing.T) {
	for config, path := range map[string]string{
		`{"path":"r.ndjson"}`: "", `{"path":"/a/{date}.ndjson","rotate_size":1048576,"keep":3,"max_size":10485760,"mode":"600"}`: "",
		`{}`: "path", `{"path":"a/"}`: "path", `{"path":"{date}/r"}`: "path", `{"path":"r.ndjson.zst"}`: "path", `{"path":"12"}`: "path",
		`{"path":"..","keep":0}`: "path", `{"path":"r","rotate_size":1}`: "rotate_size", `{"path":"r","keep":-1}`: "keep",
		`{"path":"r","max_size":1}`: "max_size", `{"path":"r","mode":"rw"}`: "mode", `{"path":"r","mode":"7777"}`: "mode", `{"path":"r","mode":"0444"}`: "mode",
	} {
		traits, problems, err := sinkfile.New().Validate(t.Context(), json.RawMessage(config))
		if err != nil || traits.Delivery != "written" {
			t.Fatalf("%s: %+v, %v", config, traits, err)
		}
		if (path == "") != (len(problems) == 0) || len(problems) > 1 || (path != "" && problems[0].Path[0] != path) {
			t.Fatalf("%s: %v, want one problem at %q", config, problems, path)
		}
	}
}
