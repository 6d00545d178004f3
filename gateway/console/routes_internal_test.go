package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestARequestIsBounded(t *testing.T) {
	for size, fits := range map[int]bool{maxRequest - 100: true, maxRequest + 1: false, 3 * maxRequest: false} {
		body := `{"link":"` + strings.Repeat("x", size) + `"}`
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, resendURL, strings.NewReader(body))
		var req ResendRequest
		if err := decode(httptest.NewRecorder(), r, &req); (err == nil) != fits {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// What the near side says of itself crosses a network: it must not write on the operator's terminal as it likes.
func TestHealthIsShownWhateverItSays(t *testing.T) {
	for raw, want := range map[string]string{
		`{"node":"gw","spool":{"bulk":{"behind":2},"full":false},"plugins":[1,2]}`: "node gw, spool.bulk.behind 2, spool.full false, plugins 1, plugins 2",
		"{\"node\":\"a\\u001b[2Jb\\nc\"}":                                          "node a?[2Jb?c",
		`{"a":1`:                                                                   "a 1",
		`not json`:                                                                 "",
		``:                                                                         "",
		`{}`:                                                                       "",
		strings.Repeat(`{"a":`, 10_000) + `1`:                                      "",
	} {
		got := healthText([]byte(raw))
		if len(raw) < 1000 && got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
