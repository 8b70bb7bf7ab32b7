// Package gitsig says who signed a Git commit or tag: the signed bytes, the
// signature and the keys that are allowed go in, a Signer comes out.
//
// It is pure. It reads no file, clock or environment, runs neither git,
// ssh-keygen nor gpg, and never asks a key server or an agent: who is trusted is
// in the Keys alone, and those come from files of the machine that checks, never
// from the repository that is checked.
//
// # What is accepted
//
//   - SSH signatures (OpenSSH's PROTOCOL.sshsig) in the namespace "git", over
//     SHA-256 or SHA-512, by ed25519, ECDSA, RSA (2048 bits or more, rsa-sha2-256
//     or rsa-sha2-512) and security keys that a person touched; by a certificate
//     where a cert-authority line allows it.
//   - OpenPGP signatures by a primary key or a signing subkey, over SHA-2 or
//     SHA-3, RSA from 2048 bits.
//
// X.509 signatures are refused as such.
//
// # Time
//
// Everything that ends, an allowed_signers line, a certificate, an OpenPGP key
// or its signature, is judged at the time of the check that the caller passes,
// not at the time that the commit or its signature claims. Those are written by
// whoever signs: judged by them, the holder of a key that has expired, or that
// was taken out of service, could go on for ever by setting the clock back. The
// price is that a revision which was fine last year is refused once its signer's
// key has ended; it is then signed again, or a newer one is. For the same reason
// an OpenPGP key that is revoked is so from the beginning, whatever the reason
// given, and certificates that last hours are no use here.
//
// # Names
//
// For a plain key, the key decides and the principals of its line are what to
// call it. A committer's address is a claim of the signer, so comparing it with
// the line would add nothing. For a certificate, a principal in it, which the
// authority vouched for, must match the line.
//
// reconcile/source calls this package. X.509, the trust-on-first-use of gpg and
// OpenSSH's revocation lists are left out: a signer is removed by removing the
// line.
package gitsig
