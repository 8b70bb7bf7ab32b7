// Package forge talks with the service that hosts the Git repository, in both
// directions: Webhook is told that something was pushed, Poster tells what
// became of a commit.
//
// It owns the wire formats of GitHub, GitLab, Gitea and Forgejo and nothing
// else. What arrives at a Webhook is never believed beyond "look now": the
// revision, its signature and its content come from Git itself, so that a
// forged or replayed delivery costs one listing of refs. It reads no file and
// no environment; secrets come from callbacks, anew each time, and appear in
// no answer, error or report. hactl run calls it.
package forge
