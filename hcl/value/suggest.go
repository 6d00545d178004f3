package value

import (
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// Suggest returns the candidate that given was most likely meant to be, or "" when none is close. A candidate is close
// when at most a third of its letters, and never fewer than two, have to change.
func Suggest(given string, candidates []string) string {
	best, bestDistance := "", -1
	for _, c := range candidates {
		if c == given {
			continue
		}
		d := levenshtein.Distance(strings.ToLower(given), strings.ToLower(c), nil)
		if d > max(2, len(c)/3) || d >= len(c) {
			continue
		}
		if bestDistance < 0 || d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// maxListed bounds the list of candidates in a message: more than this nobody reads.
const maxListed = 12

// DidYouMean is the sentence around Suggest: a suggestion, or else the list of what is there, or "" when there is
// nothing to offer. Candidates are printed as they come, so the caller quotes them where quotes belong.
func DidYouMean(given string, candidates []string) string {
	if s := Suggest(given, candidates); s != "" {
		return "did you mean " + s + "?"
	}
	if len(candidates) == 0 {
		return ""
	}
	if len(candidates) > maxListed {
		return "known here: " + strings.Join(candidates[:maxListed], ", ") + " and " + strconv.Itoa(len(candidates)-maxListed) + " more"
	}
	return "known here: " + strings.Join(candidates, ", ")
}
