package schema

// SecretRef says where a secret is to be found. It never holds the secret.
type SecretRef struct {
	Env        string `json:"env,omitempty"`
	File       string `json:"file,omitempty"`
	Credential string `json:"credential,omitempty"`
}

func (SecretRef) String() string { return "(secret)" }

// valid tells whether exactly one place is named.
func (r SecretRef) valid() bool {
	n := 0
	for _, s := range []string{r.Env, r.File, r.Credential} {
		if s != "" {
			n++
		}
	}
	return n == 1
}
