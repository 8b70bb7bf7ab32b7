package render

import (
	"encoding/json"
	"io"

	"github.com/hactl/hactl/reconcile"
)

// JSON writes a plan as the contract has it.
func JSON(w io.Writer, p *reconcile.Plan) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(p)
}
