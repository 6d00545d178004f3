package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/gateway"
)

// quickstartPoll is how often the quickstart looks for new records to show.
const quickstartPoll = 50 * time.Millisecond

// recordsFile is where the quickstart's far side writes, below the state directory; see hcl/examples/quickstart.
const recordsFile = "out/records.ndjson"

const banner = `
Sluice quickstart: two nodes on this machine, joined by a one-way link over loopback (UDP 127.0.0.1:5760).

  plant node   receives syslog    UDP 127.0.0.1:5514    TCP 127.0.0.1:5140    TLS 127.0.0.1:6514
     │ one way, sealed, with forward error correction
  dmz node     writes             %s

Try it in another terminal:

  logger --server 127.0.0.1 --port 5514 --udp --rfc5424 hello
  echo '<14>1 - - me - - - hello over TLS' | openssl s_client -connect 127.0.0.1:6514 -quiet -no_ign_eof
  bin/sluice status

Records appear below as they arrive on the far side. Ctrl-C stops.

`

// showQuickstart says where to send and prints records as they arrive on the far side.
func showQuickstart(ctx context.Context, w io.Writer, state string, gateways []*gateway.Gateway) {
	path := filepath.Join(state, recordsFile)
	from := sizeOf(path)
	tick := time.NewTicker(quickstartPoll)
	defer tick.Stop()
	shown := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !shown && allReady(gateways) {
			fmt.Fprintf(w, banner, path)
			shown = true
		}
		if shown {
			from = showRecords(w, path, from)
		}
	}
}

func allReady(gateways []*gateway.Gateway) bool {
	for _, g := range gateways {
		if !g.Ready() {
			return false
		}
	}
	return true
}

func sizeOf(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// showRecords prints the whole lines behind from and returns where to go on.
func showRecords(w io.Writer, path string, from int64) int64 {
	if sizeOf(path) < from {
		from = 0 // the file has been rotated
	}
	f, err := os.Open(path)
	if err != nil {
		return from
	}
	defer f.Close() //nolint:errcheck // read only
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return from
	}
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) || err != nil {
			return from
		}
		from += int64(len(line))
		fmt.Fprintln(w, recordLine(line))
	}
}

// recordLine is one record in brief.
func recordLine(line string) string {
	var r struct {
		Receiver   string `json:"receiver"`
		Remote     string `json:"remote"`
		ReceivedAt string `json:"received_at"`
		Payload    string `json:"payload"`
		Base64     string `json:"payload_base64"`
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return strings.TrimSpace(line)
	}
	if r.Payload == "" && r.Base64 != "" {
		r.Payload = "(binary) " + r.Base64
	}
	return fmt.Sprintf("%s  %s  %s  %s", r.ReceivedAt, r.Receiver, r.Remote, strings.TrimSpace(r.Payload))
}
