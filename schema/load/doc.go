// Package load turns a tree of CUE files into a schema.Spec.
//
// CUE runs in a child process: the same binary, executed again with
// EvaluatorEnv set, under a memory limit and a deadline, because a short
// expression can ask for any amount of both and a CUE context never gives
// its memory back. The child gets the files on its standard input and has no
// other input; it answers with the evaluated specification, the position of
// every field, and every problem CUE found. The parent decodes that and adds
// the checks of schema.Spec.Validate.
//
// Every program that calls Load must call Evaluate first thing when
// IsEvaluator says so. Imports of CUE's standard library and of packages in
// the tree's own module work; nothing is ever fetched.
package load
