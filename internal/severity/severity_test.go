package severity_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/internal/severity"
)

func TestOf(t *testing.T) {
	for text, want := range map[string]int{
		"<34>Oct 11 22:14:15 host su: x": 2, "<165>1 2026-10-11T22:14:15Z h a - - -": 5, "<0>": 0, "<7>": 7, "<191>x": 7, "<013>x": 5,
		"": -1, "<": -1, "<>": -1, "<1": -1, "<192>": -1, "<999>": -1, "<1911>": -1, "<0000>": -1, "<-1>": -1, "<1a>": -1, "< 1>": -1, " <1>": -1,
		"34>": -1, "<\xff>": -1, "text": -1,
	} {
		l, ok := severity.Of([]byte(text))
		if ok != (want >= 0) || ok && int(l) != want {
			t.Errorf("%q: %d %t, want %d", text, l, ok, want)
		}
	}
}

// TestEveryPriority walks all of them: the severity is the priority modulo 8, and thresholds nest.
func TestEveryPriority(t *testing.T) {
	words := severity.Thresholds()
	if len(words) != 9 || words[0] != severity.None {
		t.Fatalf("thresholds %v", words)
	}
	for priority := range 192 {
		message := fmt.Appendf(nil, "<%d>text", priority)
		l, ok := severity.Of(message)
		if !ok || int(l) != priority%8 {
			t.Fatalf("priority %d has severity %d, %t", priority, l, ok)
		}
		for i, word := range words {
			threshold, ok := severity.ParseThreshold(word)
			if !ok || threshold.Never() != (i == 0) || threshold.Takes(message) != (i > int(l)) {
				t.Fatalf("%q, priority %d: %t, taken %t", word, priority, ok, threshold.Takes(message))
			}
		}
	}
}

func TestParseThreshold(t *testing.T) {
	for _, bad := range []string{"", "error", "ERR", "3", "none ", "panic"} {
		if threshold, ok := severity.ParseThreshold(bad); ok || !threshold.Never() {
			t.Errorf("%q is taken", bad)
		}
	}
	if threshold, _ := severity.ParseThreshold("debug"); threshold.Takes([]byte("no priority")) || threshold.Takes(nil) {
		t.Error("a message without a priority is severe")
	}
	if slices.Contains(severity.Thresholds(), "") {
		t.Error("an empty name")
	}
}

// FuzzOf holds the reader against the grammar.
func FuzzOf(f *testing.F) {
	for _, s := range []string{"<34>x", "<191>", "<192>", "<0>", "<", "", "<1911>", "text"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		l, ok := severity.Of(message)
		if l > 7 {
			t.Fatalf("severity %d", l)
		}
		var priority int
		var rest string
		n, _ := fmt.Sscanf(string(message), "<%d>%s", &priority, &rest)
		if ok && (n < 1 || priority < 0 || priority > 191 || priority%8 != int(l)) {
			t.Fatalf("%q: severity %d, but the priority reads as %d", message, l, priority)
		}
	})
}

func BenchmarkTakes(b *testing.B) {
	threshold, _ := severity.ParseThreshold("err")
	message := []byte("<165>1 2026-10-11T22:14:15.003Z host app 1 id - text")
	for b.Loop() {
		if threshold.Takes(message) {
			b.Fatal("notice is taken for an error")
		}
	}
}
