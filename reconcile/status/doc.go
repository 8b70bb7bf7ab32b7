// Package status is what an agent shows of itself over HTTP: health, readiness,
// metrics and a report in JSON; and, to those who may, what it can be told.
//
// It owns no state but counters. Everything else it asks for when it is asked
// itself, so that a page, a metric and the log cannot disagree. It decides
// nothing and writes nothing: Reader serves what anybody with the token may
// read, Control is for the socket on the machine alone.
package status
