// Package source turns a place where specs are kept, a directory or a Git
// remote, into a tree of files at one revision.
//
// The way there has two steps, and the type system keeps them apart:
//
//	Source.Fetch  -> *Candidate   what the remote says is newest; no files
//	Candidate.Admit(Trust) -> *Tree   the files, once a Trust has agreed
//
// so that input nobody vouched for cannot reach the evaluator. A Tree is a copy
// in memory: nothing on disk or in a Git object store can change it afterwards.
//
// # What is in a tree
//
// The .cue files and everything below a cue.mod folder, with the bytes that
// were committed (no line ending conversion, no filters, no LFS). Hidden files
// and folders are left out, except where the folder asked for is itself in a
// hidden one. A symlink to a file is followed while it stays in the tree, and
// refused by name where it leaves; a symlinked folder is not followed, as CUE
// does not either. Submodules are ignored. A folder with no CUE file is an
// error: an empty spec would read as "delete everything".
//
// # Git
//
// A poll costs one ref listing. Only a SHA that differs from the known one is
// transferred: depth 1, on the same connection, into a store that lives as long
// as its Candidate. There is no clone, no work tree and no pull, so a force
// push, a rewind or an unrelated history is nothing special to Fetch; who must
// not go back asks Candidate.Descends, which gets the commits in between, and no
// files, where the parents do not tell. Where the server offers it, blobs over the size limit stay
// behind (partial clone).
//
// A ref is resolved as `git clone --branch` does: a branch wins over a tag of
// the same name. Write refs/tags/NAME to mean the tag. A full SHA needs to be
// the tip of a ref, or a server with uploadpack.allowReachableSHA1InWant.
//
// Transports: https and http through go-git; ssh on x/crypto/ssh directly,
// because go-git's does not listen to its context; file:// and plain paths by
// running `git upload-pack`. ~/.ssh/config and ALL_PROXY are not read for ssh;
// HTTPS_PROXY and NO_PROXY are, for https.
//
// # Signatures
//
// Verified is the Trust that wants one: of the commit, or of the annotated tag
// that the ref is. Package gitsig says what of; the keys are files of this
// machine. Every object is known by the hash of its bytes, computed here: what
// a signed commit leads to, all the files of its tree, is what was signed. The
// hash is SHA-1 with Git's detection of collisions, by which bytes that were made
// to collide go by another name, and are not found.
//
// # Credentials
//
// They come from files, callbacks and the SSH agent, are read anew at each
// fetch, and never from a URL: one that carries any is refused without being
// repeated. Tokens are sent over https only (GitOptions.PlainHTTP lifts that),
// and never follow a redirect to another host. Host keys are always checked.
// What a library or a server says passes through a filter that takes known
// secrets and control characters out before it becomes part of an Error.
//
// # Time
//
// Fetch returns as soon as its context ends, whatever the network does. The
// work behind it closes its connections and ends on its own; should it not, at
// most one such goroutine exists for each Git, and the next Fetch reports
// ErrUnavailable instead of starting a second.
//
// This package decides nothing about specs, keeps no state between fetches
// (callers hold the known revision), writes no file and logs nothing. The loop
// and the commands that read specs call it.
package source
