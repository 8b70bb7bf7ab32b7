package status

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// compressed writes a body, with gzip where the client takes that. What it
// compresses must hold no secret beside what a stranger chooses (BREACH).
func compressed(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Add("Vary", "Accept-Encoding")
	if !takesGzip(r.Header.Values("Accept-Encoding")) {
		_, _ = w.Write(body)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = z.Write(body) // The client may have gone.
	_ = z.Close()
}

// takesGzip reads Accept-Encoding (RFC 9110, 12.5.3).
func takesGzip(accepts []string) bool {
	any := false
	for part := range strings.SplitSeq(strings.Join(accepts, ","), ",") {
		coding, parameter, _ := strings.Cut(part, ";")
		name, weight, _ := strings.Cut(parameter, "=")
		q := 1.0
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			if f, err := strconv.ParseFloat(strings.TrimSpace(weight), 64); err == nil {
				q = f
			}
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return q > 0
		case "*":
			any = q > 0
		}
	}
	return any
}
