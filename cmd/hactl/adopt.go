package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

func newAdopt() *cobra.Command {
	f := &planFlags{}
	cmd := &cobra.Command{
		Use:   "adopt ID REMOTE",
		Short: "Take over an object that exists",
		Long: `adopt makes the object with the id REMOTE at Cloudflare the specification's
object ID, such as pool/tokyo. It writes hactl's marker and nothing else; what
differs then shows in diff. A tunnel, which has no text for a marker, is
entered in the journal.`,
		Example: "  hactl adopt pool/tokyo 17b5962d775c646f3f9725cbc7a53df4",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("want %s, as in%s", strings.TrimSuffix(cmd.UseLine(), " [flags]"), cmd.Example[1:])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := schema.ParseID(args[0])
			if err != nil {
				return err
			}
			l, err := f.spec.load(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			lp, engine, err := f.edge.loop(account(l.spec), nil)
			if err != nil {
				return err
			}
			desired := lp.Desired(l.spec, l.tree.Revision, "")
			if desired.Objects[id] == nil && id.Kind != schema.KindTunnel {
				return fmt.Errorf("%s is not in the specification: describe it there first", id)
			}
			journal, err := lp.Journal.Load(l.spec.Stack)
			if err != nil {
				return err
			}
			handle := reconcile.Handle(args[1])
			scope := reconcile.Scope{Stack: l.spec.Stack, Objects: desired.Objects, Journal: journal}
			if _, err := engine.Adopt(cmd.Context(), scope, id, handle); err != nil {
				return err
			}
			if !schema.Marked(id.Kind) {
				if journal.Owned == nil {
					journal.Owned = map[schema.ID]reconcile.Handle{}
				}
				journal.Owned[id] = handle
				if err := lp.Journal.Save(l.spec.Stack, journal); err != nil {
					return err
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is now %s of stack %s.\n", handle, id, l.spec.Stack)
			return nil
		},
	}
	f.spec.register(cmd)
	f.edge.register(cmd)
	return cmd
}
