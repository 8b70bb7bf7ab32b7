// Package notify tells chats and programs what happens: that a Virtual Router
// has moved, that a revision was refused.
//
// Whether a message is sent, held back or dropped is decided by the pure
// bundler, which is given the time; a worker for each target sends. It owns
// what goes over the wire and decides nothing else: what is worth a message is
// its caller's to say, and the specification's whom it is for. A target that
// does not answer delays no other and no caller. hactl run calls it.
//
// # What becomes of a message
//
// Messages of one kind and subject belong together. Of such,
//
//	the same text as the one before, within the window     -> dropped
//	another text, fewer than most sent in this window      -> sent
//	another text, more                                     -> counted, and told
//	                                                          at the window's end
//
// Only the text before counts, not those before that: active, fault, active is
// three pieces of news, though the third reads like the first.
package notify
