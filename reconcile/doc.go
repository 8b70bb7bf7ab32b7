// Package reconcile compares what a specification wants with what there is,
// and says what to do about it.
//
// It is pure: Desired and Live go in, a Plan comes out, a plain value that can
// be saved, shown, checked against a Policy and refused later. It also
// declares what the impure parts must offer: Engine reads and changes one kind
// of system, Observer is told what happens. Package loop puts them together.
//
// # How a plan comes about
//
// Objects are matched by ID. Of an object that a specification names,
//
//	there is            and it is owned     -> compare: nothing, update or replace
//	there is            and it is foreign   -> conflict, nothing is done to it
//	there is none                           -> create
//	it could not be read                    -> nothing, and a notice
//
// and an owned object that no specification names is deleted. Creates and
// updates follow references; a deletion waits until every object that still
// refers to what goes has been changed or deleted. A field that cannot be
// changed in place makes a replacement: the new object is made, what refers
// to the old one is repointed, then the old one goes.
package reconcile
