package load

import (
	"fmt"
	"strings"

	cueerrors "cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/parser"
)

// Format returns the canonical form of a CUE file. Errors begin with the
// file's name, line and column.
func Format(name string, source []byte) ([]byte, error) {
	f, err := parser.ParseFile(name, source, parser.ParseComments, parser.AllErrors)
	if err != nil {
		var lines []string
		for _, e := range cueerrors.Errors(err) {
			message, args := e.Msg()
			lines = append(lines, pos(e.Position()).String()+": "+fmt.Sprintf(message, args...))
		}
		return nil, fmt.Errorf("%s", strings.Join(lines, "\n"))
	}
	return format.Node(f)
}
