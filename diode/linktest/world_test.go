package linktest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

const (
	memoryBytes = 32 << 20
	modelKey    = 7
	// repairTime is how long it takes to put another machine in place: its clock
	// is then ahead of every session number of the one before.
	repairTime  = time.Minute
	maxRecorded = 4000 // datagrams
)

// world is a near side, one or two links and a far side.
type world struct {
	t       *testing.T
	sc      scenario
	rng     *rand.Rand
	dir     string
	machine int // counts the state directories
	epochs  byte
	errs    []error

	links    []*linktest.Link
	tape     sync.Mutex // guards recorded
	recorded [][]byte   // of link 0

	sources  map[diode.Class]*linktest.Source
	mu       sync.Mutex // guards truths while the far side runs
	truths   map[seriesID]*truth
	sendDir  string
	tx       []*send.Sender
	stopSend []func()
	nearOld  *nearBackup

	sink     *linktest.Sink
	recvDir  string
	rx       *recv.Receiver
	stopRecv func()
	farOld   *farBackup
}

type nearBackup struct {
	sources map[diode.Class]*linktest.Source
	dir     string
}

type farBackup struct {
	events int
	sink   *linktest.Sink
	dir    string
}

func newWorld(t *testing.T, sc scenario, dir string) *world {
	t.Helper()
	w := &world{
		t: t, sc: sc, rng: rand.New(rand.NewPCG(sc.seed, 1)), dir: dir, sink: linktest.NewSink(),
		sources: make(map[diode.Class]*linktest.Source), truths: make(map[seriesID]*truth),
	}
	for i := range sc.links {
		w.links = append(w.links, linktest.New(sc.seed+uint64(i), sc.faults))
	}
	w.links[0].Tap(func(b []byte) {
		w.tape.Lock()
		defer w.tape.Unlock()
		if len(w.recorded) < maxRecorded {
			w.recorded = append(w.recorded, append([]byte(nil), b...))
		}
	})
	w.sendDir, w.recvDir = w.newDir(), w.newDir()
	for class := range sc.classes {
		w.sources[diode.Class(class)] = linktest.NewSource(diode.Class(class))
	}
	w.newEpochs(false)
	w.startRecv()
	w.startSend()
	return w
}

func (w *world) newDir() string {
	w.machine++
	dir := filepath.Join(w.dir, fmt.Sprint(w.machine))
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// copyDir returns a copy of a state directory.
func (w *world) copyDir(from string) string {
	to := w.newDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		w.t.Fatal(err)
	}
	return to
}

func (w *world) newEpochs(known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epochs++
	for class, s := range w.sources {
		s.Begin(epoch(w.epochs), known)
		w.truths[seriesID{epoch(w.epochs), class}] = newTruth()
	}
}

func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.errs = append(w.errs, err)
		}
	}
}

func (w *world) startSend() {
	w.tx, w.stopSend = nil, nil
	for i, link := range w.links {
		c := send.Config{
			Link: linkName(i), PSK: psk(), KeyID: modelKey, Public: private().PublicKey(), Conn: link, StateDir: w.sendDir, RateBits: w.sc.rate,
			Parity: w.sc.parity, Interleave: w.sc.interleave, Repeat: w.sc.repeat, Parallel: len(w.links) > 1,
			Classes: make(map[diode.Class]send.ClassConfig),
		}
		for class, s := range w.sources {
			if i > 0 {
				s = s.Another()
				s.Sent(w.sources[class].SentThrough())
				s.Rewind(40)
			}
			c.Classes[class] = send.ClassConfig{Source: s, Epoch: s.Epoch()}
		}
		s, err := send.New(c)
		if err != nil {
			w.t.Fatal(err)
		}
		w.tx = append(w.tx, s)
		w.stopSend = append(w.stopSend, w.run(s.Run))
	}
}

func linkName(i int) string { return fmt.Sprintf("model %d", i) }

func (w *world) endSend() {
	for _, stop := range w.stopSend {
		stop()
	}
}

func (w *world) startRecv() {
	c := recv.Config{
		Heard: w.heard, Sink: w.sink, Positions: w.sink.Positions(), Open: w.sink.Open(), HoleAfter: 2 * time.Second, MemoryBytes: memoryBytes,
	}
	for i, link := range w.links {
		c.Paths = append(c.Paths, recv.Path{
			Link: linkName(i), Keys: []recv.Key{{ID: modelKey, PSK: psk(), Private: private()}}, Conn: link, StateDir: w.recvDir,
		})
	}
	r, err := recv.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.rx = r
	w.stopRecv = w.run(r.Run)
}

// heard notes what the far side hears of a near side that was restored.
func (w *world) heard(_ string, hb frame.Heartbeat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range hb.Series {
		t := w.truths[seriesID{s.Epoch.ID, s.Class}]
		if t != nil && t.rewound && !t.heard && !hb.Clock.Before(t.restoredAt) {
			t.heard, t.knownTo = true, max(t.knownTo, s.Accepted)
		}
	}
}

// endRecv ends the far process; its sockets die with it.
func (w *world) endRecv() {
	w.stopRecv()
	for _, l := range w.links {
		l.Drop()
	}
	for _, t := range w.truths {
		t.blurred = t.blurred || t.rewound
	}
}

func (w *world) add(n, size int) {
	for range n {
		w.addOne(diode.Class(w.rng.IntN(w.sc.classes)), size)
	}
}

// addEach adds a batch of every class, so that the far side learns the end.
func (w *world) addEach() {
	for class := range w.sc.classes {
		w.addOne(diode.Class(class), 10)
	}
}

func (w *world) addOne(class diode.Class, size int) {
	data := make([]byte, w.rng.IntN(size))
	for i := range data {
		data[i] = byte(w.rng.Uint32())
	}
	b := w.sources[class].Append(data, w.rng.Uint32N(1000))
	w.truths[seriesID{b.Epoch, class}].add(b)
}

func (w *world) step(s step) {
	switch s.do {
	case "add":
		w.add(s.n, 3000)
	case "big":
		w.add(s.n/4+1, 200_000)
	case "fail":
		w.links[0].Fail(os.ErrPermission)
		time.Sleep(s.pause)
		w.links[0].Fail(nil)
	case "cut", "cut one":
		w.cut(s)
	case "full":
		w.sink.Refuse(func(diode.Batch) error { return errFull })
		time.Sleep(s.pause)
		w.sink.Refuse(nil)
	case "resend":
		w.resend()
	case "evict":
		for _, src := range w.sources {
			src.Evict(src.SentThrough() + 1 - min(uint64(s.n), src.SentThrough()))
		}
	default:
		w.nearStep(s)
		w.farStep(s)
	}
	time.Sleep(s.pause)
}

var errFull = errors.New("the disk is full")

func (w *world) cut(s step) {
	links := w.links
	if s.do == "cut one" {
		links = links[:1]
	}
	for _, l := range links {
		l.Cut(true)
	}
	time.Sleep(s.pause)
	for _, l := range links {
		l.Cut(false)
	}
}

func (w *world) nearStep(s step) {
	switch s.do {
	case "send":
		w.endSend()
		for _, src := range w.sources {
			src.Rewind(1 + s.n)
		}
		w.startSend()
	case "epoch", "epoch?":
		w.endSend()
		w.newEpochs(s.do == "epoch")
		w.startSend()
	case "spare send":
		w.endSend()
		time.Sleep(repairTime)
		for class := range w.sources {
			w.forgetUnsent(class, 0)
			w.sources[class] = linktest.NewSource(class)
		}
		w.newEpochs(false)
		w.sendDir = w.newDir()
		w.startSend()
	case "backup send":
		w.endSend()
		w.nearOld = &nearBackup{sources: make(map[diode.Class]*linktest.Source), dir: w.copyDir(w.sendDir)}
		for class, src := range w.sources {
			w.nearOld.sources[class] = src.Backup()
		}
		w.startSend()
	case "restore send":
		w.restoreSend()
	}
}

// restoreSend puts the near side's backup in place of what it is now.
func (w *world) restoreSend() {
	if w.nearOld == nil {
		return
	}
	w.endSend()
	time.Sleep(repairTime)
	w.mu.Lock()
	for class, old := range w.nearOld.sources {
		_, next, _ := old.Bounds()
		w.forgetUnsent(class, next)
		t := w.truths[seriesID{old.Epoch().ID, class}]
		t.rewound, t.heard, t.restoredAt = true, false, time.Now()
		t.blurred = t.blurred || len(w.links) > 1
		w.sources[class] = old.Backup()
		w.sources[class].Rewind(5)
	}
	w.mu.Unlock()
	w.sendDir = w.copyDir(w.nearOld.dir)
	w.startSend()
}

// forgetUnsent notes that the near side forgets what it has from next on.
func (w *world) forgetUnsent(class diode.Class, next uint64) {
	for id, t := range w.truths {
		if id.class != class {
			continue
		}
		for seq, list := range t.versions {
			for _, v := range list {
				v.gone = v.gone || seq >= next
			}
		}
	}
}

func (w *world) farStep(s step) {
	switch s.do {
	case "recv":
		w.endRecv()
		w.startRecv()
	case "replay":
		w.endRecv()
		for _, t := range w.truths {
			if len(w.links) > 1 {
				t.again = t.last()
			}
		}
		w.startRecv()
		w.tape.Lock()
		tape := slices.Clip(w.recorded)
		w.tape.Unlock()
		for _, b := range tape {
			w.links[0].Inject(b)
		}
	case "spare recv":
		w.endRecv()
		w.sink, w.recvDir = linktest.NewSink(), w.newDir()
		w.startRecv()
	case "backup recv":
		w.endRecv()
		w.farOld = &farBackup{events: len(w.sink.Events()), sink: w.sink, dir: w.copyDir(w.recvDir)}
		w.startRecv()
	case "restore recv":
		if w.farOld == nil {
			return
		}
		w.endRecv()
		w.sink = w.farOld.sink
		w.sink.Restore(w.farOld.events)
		w.recvDir = w.copyDir(w.farOld.dir)
		w.startRecv()
	}
}

// heal ends all faults.
func (w *world) heal() {
	for _, l := range w.links {
		l.Set(linktest.Faults{})
	}
}

// resend has an operator ask for all that is named as missing.
func (w *world) resend() {
	ask := make(map[diode.Class][]diode.Range)
	for _, g := range w.sink.Open() {
		if _, next, _ := w.sources[g.Class].Bounds(); g.Last >= next {
			continue // of a machine that is no more
		}
		if r := ask[g.Class]; len(r) > 0 && r[len(r)-1].Last+1 == g.First {
			r[len(r)-1].Last++
			continue
		}
		ask[g.Class] = append(ask[g.Class], diode.Range{First: g.First, Last: g.Last})
	}
	for class := range maps.Keys(ask) {
		if _, err := w.tx[0].Resend(class, ask[class]); err != nil {
			w.errs = append(w.errs, err)
		}
	}
}

func (w *world) close() {
	w.endSend()
	w.stopRecv()
}
