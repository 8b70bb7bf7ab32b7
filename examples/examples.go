// Package examples holds the runnable specifications of this folder, so that
// the demo can show one without a checkout.
package examples

import "embed"

// FS holds the CUE files of every example.
//
//go:embed */*.cue
var FS embed.FS
