//go:build race

package schema_test

// underRace tells whether the race detector is on, under which an evaluation
// takes twenty times as long. The checks run in one goroutine.
const underRace = true
