package schema

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/sdk"
)

// maxPath is the longest file path (PATH_MAX, linux/limits.h), with its final zero byte.
const maxPath = 4096

// checkFormat holds a text, or every text of a list, against the meaning that the schema gives it. A format that is
// not known here is a newer plugin's, which checks it itself.
func checkFormat(v any, format string) (text, advice string) {
	switch v := v.(type) {
	case string:
		return checkText(v, format)
	case []string:
		for _, e := range v {
			if text, advice = checkText(e, format); text != "" {
				return text, advice
			}
		}
	}
	return "", ""
}

func checkText(s, format string) (text, advice string) {
	switch format {
	case sdk.FormatPath, sdk.FormatOutput:
		if s == "" || len(s) >= maxPath || strings.ContainsRune(s, 0) {
			return fmt.Sprintf("%.60q is not a file path", s), "write a path; a relative one begins in the state directory"
		}
	case sdk.FormatHostPort:
		host, port, err := net.SplitHostPort(s)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
			return fmt.Sprintf("%.60q is not an address with a port", s), `write it as in "10.30.0.10:6514"`
		}
	case sdk.FormatCertificate:
		if s == "" || strings.ContainsAny(s, "/\\ \x00") {
			return fmt.Sprintf("%.60q does not name a certificate", s), `write the name of a certificate of this node, or "auto"`
		}
	}
	return "", ""
}
