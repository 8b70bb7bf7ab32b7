// Package loop is the only orchestrator: it has engines read, has package
// reconcile plan, and carries plans out.
//
// Everything it touches is handed to it: engines, the journal's store, the
// observer. Commands and the agent call it; it calls nothing of theirs.
package loop
