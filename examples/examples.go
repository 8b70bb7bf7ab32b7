// Package examples holds the runnable specifications of this folder, so that
// the demo can run one without a checkout.
package examples

import "embed"

// FS holds the CUE files of every example, and drills.
//
//go:embed */*.cue */drill.txt
var FS embed.FS
