// Package render turns plans and events into what people and programs read:
// text for a terminal or a log, Markdown for a pull request, JSON as the
// contract has it. It decides nothing and reads nothing; the same value gives
// the same bytes.
package render
