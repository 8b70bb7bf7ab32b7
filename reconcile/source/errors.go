package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrUnchanged is what Fetch returns when the newest revision is the known one.
var ErrUnchanged = errors.New("source: unchanged")

// The kinds of Error, for errors.Is. A caller retries Unavailable, and waits
// for an operator or a new revision with the others.
var (
	ErrDenied      = errors.New("source: denied")      // a credential, a host key, a certificate or a Trust said no
	ErrNotFound    = errors.New("source: not found")   // no such directory, repository, ref or folder, or nothing in it
	ErrUnavailable = errors.New("source: unavailable") // no answer, or not in time
	ErrInvalid     = errors.New("source: invalid")     // the options, or what is in the tree
)

// Error is what went wrong with a source. It holds no credential: libraries'
// errors enter as filtered text only.
type Error struct {
	Op     string // "open", "fetch", "admit" or "read"
	Origin string // credential free
	Kind   error  // ErrDenied, ErrNotFound, ErrUnavailable or ErrInvalid
	Text   string // what happened, and the remedy where there is one
	Err    error  // context.Canceled, context.DeadlineExceeded or what a Trust returned; else nil
}

func (e *Error) Error() string {
	if e.Origin == "" {
		return e.Op + ": " + e.Text
	}
	return e.Op + " " + e.Origin + ": " + e.Text
}

// Unwrap gives the kind and the cause to errors.Is.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

func denied(format string, a ...any) error      { return failure(ErrDenied, format, a...) }
func notFound(format string, a ...any) error    { return failure(ErrNotFound, format, a...) }
func unavailable(format string, a ...any) error { return failure(ErrUnavailable, format, a...) }
func invalid(format string, a ...any) error     { return failure(ErrInvalid, format, a...) }

func failure(kind error, format string, a ...any) error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, a...)}
}

// locate completes err with where it happened. An error that is not ours is
// filtered first, and counts as unavailable.
func locate(err error, op, origin string, secrets ...string) error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Kind: ErrUnavailable, Text: err.Error()}
	}
	out := *e
	out.Op, out.Origin = op, origin
	if out.Err == nil { // a Trust's own words are not a library's
		out.Text = clean(out.Text, secrets...)
	}
	return &out
}

// interrupted describes the end of ctx, or returns nil while it goes on.
func interrupted(ctx context.Context, limit time.Duration) error {
	cause := ctx.Err()
	switch {
	case cause == nil:
		return nil
	case context.Cause(ctx) == errTimeout:
		return &Error{Kind: ErrUnavailable, Text: fmt.Sprintf("no answer within %v", limit), Err: context.DeadlineExceeded}
	case errors.Is(cause, context.DeadlineExceeded):
		return &Error{Kind: ErrUnavailable, Text: "no answer in time", Err: cause}
	}
	return &Error{Kind: ErrUnavailable, Text: "interrupted", Err: cause}
}

var errTimeout = errors.New("source: timeout")

// maxText is how much of an error's text is kept, in bytes.
const maxText = 2000

// clean makes a foreign text fit for an error: secrets replaced, one line, no
// control characters, bounded.
func clean(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "(secret)")
		}
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// quoteServer is a bounded quotation of what a server said.
func quoteServer(s string) string {
	s = clean(s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
