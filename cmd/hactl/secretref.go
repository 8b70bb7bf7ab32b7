package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hactl/hactl/schema"
)

// secret finds a secret's value.
func secret(r schema.SecretRef) (string, error) {
	switch {
	case r.Env != "":
		if v := os.Getenv(r.Env); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("environment variable %s is not set", r.Env)
	case r.File != "":
		return secretFile(r.File)
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", errors.New("there are no systemd credentials: CREDENTIALS_DIRECTORY is not set")
	}
	return secretFile(filepath.Join(dir, r.Credential))
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
