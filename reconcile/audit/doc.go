// Package audit keeps a record of what hactl changed, and why it did or did
// not follow a revision: one line of JSON for each step and each decision.
//
// It owns the file and its format, and decides nothing. It is an Observer, so
// that the record comes from the same events as logs and metrics. A record
// names the fields that changed and holds none of their values. Trouble with
// the file is reported once and never keeps a step from being taken. hactl run
// and hactl apply may write to one file at the same time.
//
// # The format
//
// Every line has time (RFC 3339, UTC), host, origin ("run" or "apply"), who
// (the signer of the revision, or the local user), revision, result, and what
// belongs to it:
//
//	step, action, fields, elapsed   result "done", "failed", "skipped" or "aborted"
//	error, class                    where there is an error
//	reason                          result "accepted" or "refused", of a revision
//	lost                            so many lines before this one could not be written
package audit
