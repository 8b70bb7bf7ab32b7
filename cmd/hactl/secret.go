package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hactl/hactl/schema/seal"
)

func newSecret() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Keep secrets in a specification, encrypted",
		Long: `A specification can hold a secret encrypted with age (https://age-encryption.org),
for each host that needs it: "hactl secret keygen" makes a host's identity and
prints its recipient, "hactl secret seal" encrypts for recipients.

A host finds its identity in the file that HACTL_AGE_IDENTITY_FILE names, or in
the systemd credential "age-identity".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSecretSeal(), newSecretKeygen())
	return cmd
}

func newSecretSeal() *cobra.Command {
	var recipients, files []string
	cmd := &cobra.Command{
		Use:   "seal (--recipient RECIPIENT | --recipients-file FILE)...",
		Short: "Encrypt a secret read from standard input",
		Long: `seal reads a secret from standard input, or asks for it without showing it, and
prints what stands for it in a specification. One newline at its end is cut.

    pass show tunnel | hactl secret seal --recipient age1…

    tunnels: home: tunnelSecret: age: """
        -----BEGIN AGE ENCRYPTED FILE-----
        …

Recipients are age1… or SSH public keys (ssh-ed25519 …); each of them can open
it alone.`,
		Example: "  hactl secret seal --recipients-file hosts.txt < password",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				// Not repeated: it may be the secret.
				return errors.New("the secret is read from standard input and never from an argument, which other users of this machine can see")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, err := readRecipients(recipients, files)
			if err != nil {
				return err
			}
			secret, err := readSecret(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			armoured, err := seal.Seal(secret, to)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), snippet(armoured))
			return err
		},
	}
	cmd.Flags().StringArrayVar(&recipients, "recipient", nil, "who can open it (repeatable)")
	cmd.Flags().StringArrayVar(&files, "recipients-file", nil, "a file of recipients, one a line (repeatable)")
	return cmd
}

func readRecipients(given, files []string) (seal.Recipients, error) {
	if len(given)+len(files) == 0 {
		return seal.Recipients{}, errors.New("who is to open it? give --recipient or --recipients-file; \"hactl secret keygen\" makes one")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return seal.Recipients{}, fmt.Errorf("read recipients: %w", err)
		}
		// Each file is read alone first, so that an error names it.
		if _, err := seal.ParseRecipients(string(b)); err != nil {
			return seal.Recipients{}, fmt.Errorf("%s: %w", name, err)
		}
		given = append(given, string(b))
	}
	return seal.ParseRecipients(strings.Join(given, "\n"))
}

// readSecret reads what is piped in, or asks on a terminal.
func readSecret(in io.Reader, prompt io.Writer) ([]byte, error) {
	var secret []byte
	var err error
	if f, ok := in.(*os.File); ok && isTerminal(f) {
		fmt.Fprint(prompt, "Secret (not shown): ")
		secret, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
	} else {
		secret, err = io.ReadAll(io.LimitReader(in, 1<<20))
	}
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	if len(secret) == 0 {
		return nil, errors.New("the secret is empty")
	}
	return secret, nil
}

// snippet is the field age of a SecretRef, in CUE.
func snippet(armoured string) string {
	var b strings.Builder
	b.WriteString("age: \"\"\"\n")
	for line := range strings.Lines(armoured) {
		b.WriteString("\t" + line)
	}
	b.WriteString("\t\"\"\"\n")
	return b.String()
}

func newSecretKeygen() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "keygen --out FILE",
		Short: "Make an identity that can open sealed secrets",
		Long: `keygen writes a new identity to a file that only its owner can read, and prints
its recipient. It overwrites nothing. The file is one of age-keygen's.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return errors.New("give --out: an identity is not shown on a terminal")
			}
			identity, recipient, err := seal.NewIdentity()
			if err != nil {
				return err
			}
			text := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), recipient, identity)
			if err := writeIdentity(out, text); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), recipient)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to write")
	return cmd
}

// writeIdentity writes a file that only its owner can read, unless there is one.
func writeIdentity(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the identity: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(name)
		return fmt.Errorf("write the identity: %w", err)
	}
	return nil
}
