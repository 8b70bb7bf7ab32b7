package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/seal"
)

// secret finds a secret's value, at the moment it is needed. The error says
// which place lacks it, and never what stands there.
func secret(r schema.SecretRef) (string, error) {
	switch {
	case r.Env != "":
		if v := os.Getenv(r.Env); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("environment variable %s is not set", r.Env)
	case r.File != "":
		return secretFile(r.File)
	case r.Age != "":
		return unseal(r)
	}
	return credential(r.Credential)
}

// credential reads one of the service's systemd credentials.
func credential(name string) (string, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", errors.New("there are no systemd credentials: CREDENTIALS_DIRECTORY is not set")
	}
	return secretFile(filepath.Join(dir, name))
}

func secretFile(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" {
		return "", fmt.Errorf("read a secret: %s is empty", name)
	}
	return s, nil
}

// Where the identities are that open what is sealed with age.
const (
	envIdentity        = "HACTL_AGE_IDENTITY_FILE"
	identityCredential = "age-identity"
)

// unseal decrypts a secret that stands in the specification.
func unseal(r schema.SecretRef) (string, error) {
	ciphertext, err := r.Ciphertext()
	if err != nil {
		return "", fmt.Errorf("a secret sealed with age: %w", err)
	}
	text, where, err := identityFile()
	if err != nil {
		return "", err
	}
	identities, err := seal.ParseIdentities(text)
	if err != nil {
		return "", fmt.Errorf("the age identity in %s: %w", where, err)
	}
	secret, err := seal.Open(ciphertext, identities)
	if err != nil {
		return "", fmt.Errorf("a secret sealed with age, with the identity in %s: %w", where, err)
	}
	if len(secret) == 0 {
		return "", errors.New("a secret sealed with age is empty")
	}
	return string(secret), nil
}

func identityFile() (text, where string, err error) {
	if name := os.Getenv(envIdentity); name != "" {
		text, err := secretFile(name)
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", envIdentity, err)
		}
		return text, name, nil
	}
	where = "the systemd credential " + identityCredential
	if os.Getenv("CREDENTIALS_DIRECTORY") == "" {
		return "", "", fmt.Errorf("a secret is sealed with age, and there is no identity to open it: set %s, or give the service %s", envIdentity, where)
	}
	if text, err = credential(identityCredential); err != nil {
		return "", "", fmt.Errorf("a secret is sealed with age, and %s is not set: %w", envIdentity, err)
	}
	return text, where, nil
}
