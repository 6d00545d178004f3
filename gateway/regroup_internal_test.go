package gateway

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/ledger"
)

// arranged opens the ledger of a group of diodes as the node does, and gives what is open in it.
func arranged(t *testing.T, links, name string, missing []diode.Gap, diodes ...string) []diode.Gap {
	t.Helper()
	b, err := openBooks(filepath.Join(links, originDir(name), "ledger"), nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer b.close() //nolint:errcheck // everything without a mark is on disk
	if err := b.regroup(links, name, diodes); err != nil {
		t.Fatal(err)
	}
	for _, g := range missing {
		if err := b.declare(g, ledger.Mark{}); err != nil {
			t.Fatal(err)
		}
	}
	return b.ledger.Missing()
}

func TestWhatIsMissingIsNotForgottenWhenDiodesAreJoinedOrTakenApart(t *testing.T) {
	links := t.TempDir()
	first, second, third := gapOf(1, 2, 3, diode.ReasonLink), gapOf(2, 7, 7, diode.ReasonLink), gapOf(3, 9, 9, diode.ReasonLink)
	first.DeclaredAt, second.DeclaredAt, third.DeclaredAt = time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 0)
	arranged(t, links, "d", []diode.Gap{first}, "d")
	arranged(t, links, "e", []diode.Gap{second}, "e")
	for range 2 {
		if got := arranged(t, links, "d+e", nil, "d", "e"); len(got) != 2 || got[0].Epoch != first.Epoch || got[0].Weight != first.Weight || got[1].Epoch != second.Epoch {
			t.Fatalf("joined: %+v", got)
		}
	}
	arranged(t, links, "d+e", []diode.Gap{third}, "d", "e")
	for range 2 {
		if got := arranged(t, links, "d", nil, "d"); len(got) != 3 {
			t.Fatalf("taken apart: %+v", got)
		}
	}
	if got := arranged(t, links, "e", nil, "e"); len(got) != 3 {
		t.Fatalf("taken apart: %+v", got)
	}
}

// A ledger that cannot be read now is asked again at the next start.
func TestALedgerThatCannotBeReadIsTakenOverLater(t *testing.T) {
	links := t.TempDir()
	arranged(t, links, "d", []diode.Gap{gapOf(1, 2, 3, diode.ReasonLink)}, "d")
	there, away := filepath.Join(links, "d", "ledger"), filepath.Join(links, "away")
	if err := os.Rename(there, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := openBooks(filepath.Join(links, "d+e", "ledger"), nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.regroup(links, "d+e", []string{"d", "e"}); err == nil {
		t.Error("nothing is said of it")
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, there); err != nil {
		t.Fatal(err)
	}
	if got := arranged(t, links, "d+e", nil, "d", "e"); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
}
