// Package schema is the vocabulary of hactl: the kinds of object a
// specification can hold, as Go types and, beside each, as CUE definitions.
//
// It owns the names, the references between objects, the lowering of a Spec
// into single objects (one per object of an API), and every check that needs
// no outside knowledge. It reads no file, clock, environment or network, and
// knows no engine; package load builds a Spec, package reconcile plans one.
package schema

import "embed"

// CUE holds the definitions that a specification is unified with, one file
// per kind, all of package "schema".
//
//go:embed *.cue
var CUE embed.FS
