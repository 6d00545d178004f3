package sdktest

import (
	"slices"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// patience is how long the harness waits for anything before the test fails (ours: far above what a busy machine with
// the race detector needs).
const patience = 20 * time.Second

// Options say how the harness configures a plugin. The zero value is an empty body and no network.
type Options struct {
	Name         string // default "receiver.test" or "sink.test"
	Config       string // JSON of the decoded body; default "{}"
	Compression  string // receivers: "none" (default) or "zstd"
	StateDir     string // default: a new directory of the test
	RootDir      string // default: StateDir
	Certificates map[string]sdk.Certificate
	Credit       int // receivers: bytes of batches that may be unacknowledged; default sdk.DefaultCredit
	// Network is what the plugin may listen on, "tcp" or "udp"; default: what its traits ask for. "none" refuses.
	Network string
	// Interface is the name under which connections arrive; default "eth-test".
	Interface string
	// Connect holds the addresses that the plugin may dial and how they behave. Setup.Connect lists them sorted.
	Connect map[string]Target
}

// Target is how an address behaves that a plugin may dial. The zero value takes everything at once.
type Target struct {
	Delay  time.Duration // every send of datagrams takes that long
	Refuse *sdk.Error    // dialling fails with it
	// Discard reads TCP connections to their end, for a test that does not look at them: Accept has none then.
	Discard bool
}

func (o Options) filled(t testing.TB, kind string) Options {
	if o.Name == "" {
		o.Name = kind + ".test"
	}
	if o.Config == "" {
		o.Config = "{}"
	}
	if o.Compression == "" {
		o.Compression = "none"
	}
	if o.StateDir == "" {
		o.StateDir = t.TempDir()
	}
	if o.RootDir == "" {
		o.RootDir = o.StateDir
	}
	if o.Credit == 0 {
		o.Credit = sdk.DefaultCredit
	}
	if o.Interface == "" {
		o.Interface = "eth-test"
	}
	return o
}

func (o Options) setup() sdk.Setup {
	s := sdk.Setup{
		Name: o.Name, Config: []byte(o.Config), StateDir: o.StateDir, RootDir: o.RootDir,
		Compression: o.Compression, Certificates: o.Certificates,
	}
	copy(s.Stream[:], "sdktest-stream-0")
	for address := range o.Connect {
		s.Connect = append(s.Connect, address)
	}
	slices.Sort(s.Connect)
	return s
}
