package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Where the control methods are served. All of them take their request as JSON by POST.
const (
	gapsURL       = "/v1/gaps"
	gapReportURL  = "/v1/gap-report"
	resendURL     = "/v1/resend"
	explainURL    = "/v1/explain"
	acceptURL     = "/v1/accept-sender"
	doctorURL     = "/v1/doctor"
	testURL       = "/v1/test"
	testReportURL = "/v1/test-report"
	guardTestURL  = "/v1/guard-test"
	guardResetURL = "/v1/guard-reset"
	interfaceURL  = "/v1/accept-interface"
)

// maxRequest bounds a request, bytes: a gap report of 1 MiB as base64, and room for the rest.
const maxRequest = 2 << 20

// linkRequest names a link and nothing else.
type linkRequest struct {
	Link string `json:"link"`
}

// routes adds what the node offers. What it does not is answered like a link's other side: with a sentence.
func (s *Server) routes(mux *http.ServeMux) {
	c := s.control
	post(s, mux, gapsURL, c.gaps != nil, func(ctx context.Context, q GapsQuery, _ string) (GapList, error) { return c.gaps.Gaps(ctx, q) })
	post(s, mux, gapReportURL, c.gaps != nil, func(ctx context.Context, r linkRequest, _ string) ([]byte, error) {
		return c.gaps.GapReport(ctx, r.Link)
	})
	post(s, mux, resendURL, c.resends != nil, func(ctx context.Context, r ResendRequest, who string) (Resend, error) {
		r.Who = who
		return c.resends.Resend(ctx, r)
	})
	post(s, mux, explainURL, c.resends != nil, func(ctx context.Context, r ExplainRequest, _ string) (Explanation, error) {
		return c.resends.Explain(ctx, r)
	})
	post(s, mux, acceptURL, c.care != nil, func(ctx context.Context, r linkRequest, who string) (Acceptance, error) {
		return c.care.AcceptSender(ctx, r.Link, who)
	})
	post(s, mux, doctorURL, c.care != nil, func(ctx context.Context, r linkRequest, _ string) ([]Fact, error) { return c.care.Doctor(ctx, r.Link) })
	post(s, mux, testURL, c.tests != nil, func(ctx context.Context, r TestRequest, who string) (TestState, error) {
		r.Who = who
		return c.tests.Test(ctx, r)
	})
	post(s, mux, testReportURL, c.tests != nil, func(ctx context.Context, r linkRequest, _ string) (TestReport, error) {
		return c.tests.TestReport(ctx, r.Link)
	})
	s.guardRoutes(mux)
}

// guardRoutes adds what the node offers about its guard.
func (s *Server) guardRoutes(mux *http.ServeMux) {
	c := s.control
	post(s, mux, guardTestURL, c.guard != nil, func(ctx context.Context, r GuardTestRequest, _ string) (GuardReport, error) {
		return c.guard.GuardTest(ctx, r)
	})
	post(s, mux, guardResetURL, c.guard != nil, func(ctx context.Context, r GuardResetRequest, _ string) (Guard, error) {
		if strings.TrimSpace(r.Reason) == "" {
			return Guard{}, Errorf(CodeBadRequest, "guard reset: say why with --reason: it stands in the audit log")
		}
		return c.guard.GuardReset(ctx, r)
	})
	post(s, mux, interfaceURL, c.interfaces != nil, func(ctx context.Context, r AcceptRequest, _ string) (Accepted, error) {
		if strings.TrimSpace(r.Name) == "" {
			return Accepted{}, Errorf(CodeBadRequest, "interfaces accept: name an interface")
		}
		return c.interfaces.AcceptInterface(ctx, r)
	})
}

// post serves one method.
func post[Req, Res any](s *Server, mux *http.ServeMux, url string, offered bool, f func(context.Context, Req, string) (Res, error)) {
	mux.HandleFunc("POST "+url, func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if !offered {
			fail(w, Errorf(CodeNotNow, "%s: this node does not offer it", url))
			return
		}
		if err := decode(w, r, &req); err != nil {
			fail(w, Errorf(CodeBadRequest, "%s: %v", url, err))
			return
		}
		var res Res
		err := error(errStopping())
		s.during(func() { res, err = f(r.Context(), req, WhoOf(r.Context()).String()) })
		if err != nil {
			fail(w, err)
			return
		}
		write(w, http.StatusOK, res)
	})
}

func fail(w http.ResponseWriter, err error) {
	e := asError(err)
	write(w, e.status(), e)
}

// decode reads one JSON object. A word that this version does not know is refused: it could have been "dry_run".
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("request: more than one object")
	}
	return nil
}
