package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"time"
)

// perSecond is how many messages the generator sends: a busy workshop (ours).
const perSecond = 200

// generator sends numbered syslog messages over TCP until ctx ends, and returns how many.
func generate(ctx context.Context, port int) (sent int, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return 0, fmt.Errorf("generator: %w", err)
	}
	defer conn.Close() //nolint:errcheck // all was written
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-tick.C:
		}
		at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		if _, err := fmt.Fprintf(conn, "<14>1 %s press-7 demo - - - pressure ok, message %d\n", at, sent); err != nil {
			return sent, fmt.Errorf("generator: %w", err)
		}
		sent++
	}
}

// tally is what of n messages has arrived.
type tally struct{ arrived, missing, twice int }

// count looks for messages 0 to n-1 in the far side's file.
func count(records []byte, n int) (tally, error) {
	number := regexp.MustCompile(`message (\d+)`)
	times := make([]int, n)
	for line := range bytes.Lines(records) {
		if !bytes.HasSuffix(line, []byte{'\n'}) {
			break // being written
		}
		var r struct {
			Payload string `json:"payload"`
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return tally{}, fmt.Errorf("records: %w: %s", err, line)
		}
		m := number.FindStringSubmatch(r.Payload)
		if m == nil {
			return tally{}, fmt.Errorf("records: a message that nobody sent: %s", line)
		}
		i, err := strconv.Atoi(m[1])
		if err != nil || i >= n {
			return tally{}, fmt.Errorf("records: message %s was not sent", m[1])
		}
		times[i]++
	}
	var t tally
	for _, k := range times {
		switch {
		case k == 0:
			t.missing++
		case k > 1:
			t.twice++
		}
	}
	t.arrived = n - t.missing
	return t, nil
}
