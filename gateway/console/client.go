package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// maxAnswer bounds what is read of an answer, bytes (ours).
	maxAnswer = 64 << 20
	// statusTimeout bounds asking for the status: it is made from memory (ours).
	statusTimeout = 5 * time.Second
	// controlTimeout bounds what reads from disk or looks at the machine (ours).
	controlTimeout = 2 * time.Minute
)

// Client asks the node behind a socket. Errors of the node are *Error.
type Client struct {
	Path string // of the socket
}

// Gaps asks the receiving end of a link for what is missing.
func (c Client) Gaps(ctx context.Context, q GapsQuery) (GapList, error) {
	return call[GapList](ctx, c, gapsURL, q, controlTimeout)
}

// GapReport asks the receiving end of a link for the file that the near side takes.
func (c Client) GapReport(ctx context.Context, link string) ([]byte, error) {
	return call[[]byte](ctx, c, gapReportURL, linkRequest{Link: link}, controlTimeout)
}

// Resend asks the sending end of a link to send again.
func (c Client) Resend(ctx context.Context, r ResendRequest) (Resend, error) {
	return call[Resend](ctx, c, resendURL, r, controlTimeout)
}

// Explain asks the sending end of a link what ranges held.
func (c Client) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	return call[Explanation](ctx, c, explainURL, r, controlTimeout)
}

// AcceptSender makes the receiving end of a link accept a sender whose state went back.
func (c Client) AcceptSender(ctx context.Context, link string) (Acceptance, error) {
	return call[Acceptance](ctx, c, acceptURL, linkRequest{Link: link}, controlTimeout)
}

// Doctor asks for an examination of one link, or of all when link is empty.
func (c Client) Doctor(ctx context.Context, link string) ([]Fact, error) {
	return call[[]Fact](ctx, c, doctorURL, linkRequest{Link: link}, controlTimeout)
}

// Test makes the sending end of a link send the pattern; it returns when all is sent. ctx ends the test.
func (c Client) Test(ctx context.Context, r TestRequest) (TestState, error) {
	return call[TestState](ctx, c, testURL, r, 0)
}

// TestReport asks the receiving end what it saw of the newest test.
func (c Client) TestReport(ctx context.Context, link string) (TestReport, error) {
	return call[TestReport](ctx, c, testReportURL, linkRequest{Link: link}, controlTimeout)
}

// GuardTest asks for the guard's evidence.
func (c Client) GuardTest(ctx context.Context, r GuardTestRequest) (GuardReport, error) {
	return call[GuardReport](ctx, c, guardTestURL, r, controlTimeout)
}

// GuardReset lets what has tripped go on.
func (c Client) GuardReset(ctx context.Context, r GuardResetRequest) (Guard, error) {
	return call[Guard](ctx, c, guardResetURL, r, controlTimeout)
}

// AcceptInterface has an interface accepted.
func (c Client) AcceptInterface(ctx context.Context, r AcceptRequest) (Accepted, error) {
	return call[Accepted](ctx, c, interfaceURL, r, controlTimeout)
}

// Fetch asks the node behind a socket for its status.
func Fetch(ctx context.Context, path string) (Status, error) {
	var st Status
	raw, err := FetchRaw(ctx, path)
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, fmt.Errorf("console: %s: %w", path, err)
	}
	return st, nil
}

// FetchRaw returns the status as the node wrote it, so that fields that this program does not know are not lost.
func FetchRaw(ctx context.Context, path string) ([]byte, error) {
	return Client{Path: path}.do(ctx, http.MethodGet, statusURL, nil, statusTimeout)
}

// call asks one control method; a timeout of 0 is none.
func call[Res any](ctx context.Context, c Client, url string, request any, timeout time.Duration) (Res, error) {
	var res Res
	body, err := json.Marshal(request)
	if err != nil {
		return res, fmt.Errorf("console: %w", err)
	}
	raw, err := c.do(ctx, http.MethodPost, url, body, timeout)
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(raw, &res); err != nil {
		return res, fmt.Errorf("console: %s%s: %w", c.Path, url, err)
	}
	return res, nil
}

func (c Client) do(ctx context.Context, method, url string, body []byte, timeout time.Duration) ([]byte, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Path)
	}
	h := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	res, err := h.Do(req)
	if err != nil {
		return nil, fmt.Errorf("console: %s: no node answers: %w", c.Path, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("console: %s: %w", c.Path, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, c.refusal(res.Status, b)
	}
	return b, nil
}

// refusal is the error that an answer other than 200 holds.
func (c Client) refusal(status string, body []byte) error {
	var e Error
	if json.Unmarshal(body, &e) == nil && e.Text != "" {
		return &e
	}
	return fmt.Errorf("console: %s: %s: does an older version run there?", c.Path, status)
}
