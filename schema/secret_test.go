package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hactl/hactl/schema"
)

func TestSecretsInASpecificationDoNotPrintEither(t *testing.T) {
	s := schema.SecretRef{Age: "hunter2"}
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v", s, s, &s)} {
		if strings.Contains(got, "hunter2") {
			t.Error(got)
		}
	}
}

func FuzzCiphertext(f *testing.F) {
	f.Add("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----")
	f.Add("YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgKLS0tIA==")
	f.Add("hunter2")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := schema.SecretRef{Age: text}.Ciphertext()
		if err == nil && !strings.HasPrefix(string(b), "age-encryption.org/v1\n-> ") {
			t.Errorf("%q is a ciphertext", b)
		}
	})
}
