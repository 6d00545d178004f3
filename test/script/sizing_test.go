package script_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/hcl/value"
)

const (
	// Bytes of a frame on Ethernet beyond the IP packet (IEEE 802.3): the header, which interface counters count too, and
	// preamble, delimiter, checksum and gap, which only the line sees.
	etherHeader = 14
	etherLine   = 8 + 4 + 12
	udpHeader   = 8 // RFC 768

	defaultMTU    = 1500   // of the tables that name none
	defaultParity = 0.25   // of fec.parity, and of the table of small blocks
	lossStep      = 0.001  // in which the tables name a design loss
	mostLoss      = 0.2    // the largest design loss that can be configured
	burstLoss     = 0.01   // design loss of the table of bursts: the default
	secondsPerDay = 86_400 // of the table of retention
)

// sizingTables are the tables of docs/diode.md that are computed: each makes a row from the columns that say what it is
// about.
func sizingTables() map[string]func(t *testing.T, row []string) []string {
	return map[string]func(*testing.T, []string) []string{
		"full blocks":  fullBlocks,
		"frames":       frameSizes,
		"small blocks": smallBlocks,
		"bursts":       bursts,
		"retention":    retention,
	}
}

// TestSizingTables computes every row of the tables by which operators plan a link. With -update it writes them.
func TestSizingTables(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "diode.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, compute := range sizingTables() {
		t.Run(name, func(t *testing.T) { text = checkTable(t, text, name, compute) })
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkTable compares the rows of one table with what they should be, and returns the text with those.
func checkTable(t *testing.T, text, name string, compute func(*testing.T, []string) []string) string {
	t.Helper()
	table := regexp.MustCompile(`(?s)<!-- checked: ` + regexp.QuoteMeta(name) + ` -->\n\n(.*?)\n\n<!-- end -->`).FindStringSubmatchIndex(text)
	if table == nil {
		t.Fatal("there is no such table")
	}
	lines := strings.Split(text[table[2]:table[3]], "\n")
	if len(lines) < 3 {
		t.Fatal("the table has no rows")
	}
	for i, line := range lines[2:] {
		want := "| " + strings.Join(compute(t, cellsOf(line)), " | ") + " |"
		if line != want && !*update {
			t.Errorf("row %d\nis     %s\nshould %s", i+1, line, want)
		}
		lines[i+2] = want
	}
	return text[:table[2]] + strings.Join(lines, "\n") + text[table[3]:]
}

func cellsOf(line string) []string {
	cells := strings.Split(strings.Trim(line, "| "), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// parsed reads a value as the configuration does.
func parsed(t *testing.T, text string, parse func(string) (float64, error)) float64 {
	t.Helper()
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

func rate(text string) (float64, error) {
	bits, err := value.ParseBitRate(text)
	return float64(bits), err
}

// perFrame is what one full frame carries, and takes: as interface counters count, and of the line.
func perFrame(t *testing.T, mtu int, ipv6 bool) (data, counted, line int) {
	t.Helper()
	data, err := frame.ShardBytes(mtu, ipv6)
	if err != nil {
		t.Fatal(err)
	}
	ip := 20 // RFC 791
	if ipv6 {
		ip = 40 // RFC 8200
	}
	counted = data + frame.Overhead + udpHeader + ip + etherHeader
	if counted-etherHeader > mtu {
		t.Fatalf("a frame of %d bytes does not fit an MTU of %d", counted-etherHeader, mtu)
	}
	return data, counted, counted + etherLine
}

func shapeOf(t *testing.T, p fec.Protection) fec.Shape {
	t.Helper()
	data, _, _ := perFrame(t, defaultMTU, false)
	shape, err := p.Bulk(data)
	if err != nil {
		t.Fatal(err)
	}
	return shape
}

// fullBlocks: parity, and a shape, give the largest design loss for which it is taken, and what it costs and bridges.
func fullBlocks(t *testing.T, row []string) []string {
	t.Helper()
	p := fec.Protection{Parity: parsed(t, row[0], value.ParsePercent), DesignLoss: parsed(t, row[1], value.ParsePercent)}
	shape := shapeOf(t, p)
	for p.DesignLoss+lossStep <= mostLoss+lossStep/2 {
		next := fec.Protection{Parity: p.Parity, DesignLoss: p.DesignLoss + lossStep}
		if shapeOf(t, next) != shape {
			break
		}
		p = next
	}
	data, counted, line := perFrame(t, defaultMTU, false)
	k, m := shape.Data, shape.Parity
	whole := float64(k+m) / float64(k)
	return []string{
		row[0], fmt.Sprintf("%.1f%%", 100*p.DesignLoss), fmt.Sprintf("%d+%d", k, m), fmt.Sprintf("%.1f %%", 100*float64(m)/float64(k+m)),
		fmt.Sprintf("%.3f", whole*float64(counted)/float64(data)), fmt.Sprintf("%.3f", whole*float64(line)/float64(data)),
		fmt.Sprintf("%d frames", m), fmt.Sprintf("%d frames", 8*m), fmt.Sprintf("%d frames", 16*m),
	}
}

// frameSizes: MTU and IP version.
func frameSizes(t *testing.T, row []string) []string {
	t.Helper()
	mtu, err := strconv.Atoi(row[0])
	if err != nil {
		t.Fatal(err)
	}
	data, counted, line := perFrame(t, mtu, row[1] == "IPv6")
	return []string{
		row[0], row[1], fmt.Sprintf("%d B", data), fmt.Sprintf("%.3f", float64(counted)/float64(data)), fmt.Sprintf("%.3f", float64(line)/float64(data)),
		fmt.Sprintf("%d KiB", fec.MaxShards*data/1024),
	}
}

// smallBlocks: data frames.
func smallBlocks(t *testing.T, row []string) []string {
	t.Helper()
	k, err := strconv.Atoi(row[0])
	if err != nil {
		t.Fatal(err)
	}
	out := []string{row[0]}
	for _, loss := range []float64{0.01, 0.02, 0.05, 0.10} {
		out = append(out, strconv.Itoa(fec.Protection{Parity: defaultParity, DesignLoss: loss}.Small(k)))
	}
	return out
}

// bursts: the rate.
func bursts(t *testing.T, row []string) []string {
	t.Helper()
	bits := parsed(t, row[0], rate)
	shape := shapeOf(t, fec.Protection{Parity: defaultParity, DesignLoss: burstLoss})
	_, _, line := perFrame(t, defaultMTU, false)
	out := []string{row[0]}
	for _, frames := range []int{shape.Data + shape.Parity, shape.Parity} {
		for _, depth := range []int{1, 8, 16} {
			out = append(out, fmt.Sprintf("%.1f ms", 1000*float64(frames*depth*line*8)/bits))
		}
	}
	return out
}

// retention: bytes per second.
func retention(t *testing.T, row []string) []string {
	t.Helper()
	const gib, daysKept = 1 << 30, 14
	perSecond, err := value.ParseBytes(strings.ReplaceAll(row[0], " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	lasts := gib / float64(perSecond)
	need := float64(perSecond) * daysKept * secondsPerDay / gib
	return []string{row[0], spell(lasts), fmt.Sprintf("%s GiB", round(need))}
}

func spell(seconds float64) string {
	switch {
	case seconds >= secondsPerDay:
		return round(seconds/secondsPerDay) + " days"
	case seconds >= 3600:
		return round(seconds/3600) + " hours"
	}
	return round(seconds/60) + " minutes"
}

// round keeps one digit behind the point where there are few before it.
func round(v float64) string {
	if v >= 100 {
		return strconv.Itoa(int(math.Round(v)))
	}
	return fmt.Sprintf("%.1f", v)
}
