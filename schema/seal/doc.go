// Package seal encrypts secrets for a specification and decrypts them, with
// age (https://age-encryption.org/v1).
//
// It is bytes in, bytes out: it reads no file, environment or terminal, and
// knows nothing of specifications; cmd finds identities and calls it. age's
// types stop here. No error holds a part of an identity or of a plaintext:
// age's own errors quote the line they cannot parse, and are not passed on.
package seal
