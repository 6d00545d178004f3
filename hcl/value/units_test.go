package value_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/hcl/value"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5m": 5 * time.Minute, "14d": 14 * 24 * time.Hour, "1h30m": 90 * time.Minute, "10ms": 10 * time.Millisecond,
		"1.5s": 1500 * time.Millisecond, "2w": 14 * 24 * time.Hour, "0": 0, "0s": 0, "3us": 3 * time.Microsecond, "7ns": 7,
	} {
		if got, err := value.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "m", "-5m", "5 fortnights", "1.2.3s", "1e9s", "9999999999w", "5m ", "5M"} {
		if got, err := value.ParseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"20GiB": 20 << 30, "64MiB": 64 << 20, "100GB": 100e9, "4096B": 4096, "1.5KiB": 1536, "0": 0, "1 TiB": 1 << 40,
	} {
		if got, err := value.ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "20", "20G", "20gib", "GiB", "-1B", "99999999TiB"} {
		if got, err := value.ParseBytes(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestParseRates(t *testing.T) {
	for text, want := range map[string]int64{"600Mbit": 600e6, "1Gbit": 1e9, "800kbit/s": 800e3, "9bit": 9} {
		if got, err := value.ParseBitRate(text); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for text, want := range map[string]float64{"2000/s": 2000, "90/min": 1.5, "36/h": 0.01} {
		if got, err := value.ParseRate(text); err != nil || got < want*0.999 || got > want*1.001 {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for text, want := range map[string]float64{"25%": 0.25, "0.5%": 0.005, "100%": 1} {
		if got, err := value.ParsePercent(text); err != nil || got != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "600", "600MB", "2000", "25", "/s", "%", "a%"} {
		if _, err := value.ParseBitRate(text); err == nil {
			t.Errorf("bit rate %q is taken", text)
		}
		if _, err := value.ParseRate(text); err == nil {
			t.Errorf("rate %q is taken", text)
		}
		if _, err := value.ParsePercent(text); err == nil {
			t.Errorf("percent %q is taken", text)
		}
	}
}

// TestTextIsReadBack: what a message prints, an operator may copy into the configuration.
func TestTextIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<50).Draw(t, "n")
		if got, err := value.ParseBytes(value.Text(float64(n), value.Bytes)); err != nil || got != n {
			t.Fatalf("bytes %d: %v %v", n, got, err)
		}
		if got, err := value.ParseDuration(value.Text(float64(n), value.Duration)); err != nil || got != time.Duration(n) {
			t.Fatalf("duration %d: %v %v", n, got, err)
		}
		if got, err := value.ParseBitRate(value.Text(float64(n), value.BitRate)); err != nil || got != n {
			t.Fatalf("bit rate %d: %v %v", n, got, err)
		}
	})
}

func TestSuggest(t *testing.T) {
	names := []string{"node.gw-plant", "node.gw-dmz", "receiver.tcp.agents"}
	for given, want := range map[string]string{
		"node.gw-plnt": "node.gw-plant", "node.gw-dnz": "node.gw-dmz", "reciever.tcp.agent": "receiver.tcp.agents", "something.else": "", "": "",
	} {
		if got := value.Suggest(given, names); got != want {
			t.Errorf("%q: %q", given, got)
		}
	}
	if got := value.DidYouMean("zzz", names); got != "known here: node.gw-plant, node.gw-dmz, receiver.tcp.agents" {
		t.Error(got)
	}
	if got := value.DidYouMean("zzz", make([]string, 20)); len(got) > 100 {
		t.Error(got)
	}
	if got := value.DidYouMean("zzz", nil); got != "" {
		t.Error(got)
	}
}

func FuzzUnits(f *testing.F) {
	for _, s := range []string{"5m", "1h30m", "20GiB", "600Mbit/s", "2000/s", "25%", "1.5s", "..", "9e9s", "µs", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := value.ParseDuration(s); err == nil && d < 0 {
			t.Errorf("duration %v", d)
		}
		if n, err := value.ParseBytes(s); err == nil && n < 0 {
			t.Errorf("bytes %v", n)
		}
		if n, err := value.ParseBitRate(s); err == nil && n < 0 {
			t.Errorf("bit rate %v", n)
		}
		if n, err := value.ParseRate(s); err == nil && n < 0 {
			t.Errorf("rate %v", n)
		}
		if n, err := value.ParsePercent(s); err == nil && n < 0 {
			t.Errorf("percent %v", n)
		}
		value.Unquoted("a = [" + s)
	})
}
