package drill

import (
	"slices"
	"strings"
	"testing"
)

func TestAScriptIsRead(t *testing.T) {
	s, err := Parse("a.txt", strings.NewReader("\ufeff"+`# a comment

say Nothing is "quoted" here # and this is said
edit edge.cue "priority: 100" "priority: \"2\""   # a comment
kill lb01
  expect active web nobody
split lb01 lb02 lb03
wait 1.5s
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, step := range s.Steps {
		got = append(got, step.String())
	}
	want := []string{
		`say Nothing is "quoted" here # and this is said`, `edit edge.cue "priority: 100" "priority: \"2\""`, "kill lb01",
		"expect active web nobody", "split lb01 lb02 lb03", "wait 1.5s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if s.Steps[2].Line != 5 {
		t.Errorf("kill is on line %d", s.Steps[2].Line)
	}
}

// TestEveryMistakeIsNamed: each line by itself, and all of them at once.
func TestEveryMistakeIsNamed(t *testing.T) {
	var script strings.Builder
	cases := []struct{ line, says string }{
		{"kil lb01", `there is no step "kil"; there are boot, check,`},
		{"kill", "kill takes a word, and has 0"},
		{"kill lb01 lb02", "kill takes a word, and has 2"},
		{"mistake now", "mistake stands alone"},
		{"unplug", "unplug takes 1 to 2 words, and has 0"},
		{"maintenance lb01 yes", `maintenance: "yes": want on or off`},
		{"check lb01 caddy broken", `want fail or pass`},
		{"service dns down", `want git or api`},
		{"drift tunnel/home", `want pool/NAME or dnsRecord/NAME`},
		{"drift pool/", `want pool/NAME or dnsRecord/NAME`},
		{"split lb01 lb02 lb01", "split: lb01 is there twice"},
		{"wait long", `"long": want a duration`},
		{"wait 1h", "at most 10m0s"},
		{"wait -1s", "want a duration"},
		{"expect active web", "expect: want active ROUTER HOST|nobody"},
		{"expect quiet", "expect: want active"},
		{"expect silence soon", "want a duration"},
		{`edit a "b c`, "a quote that does not end"},
		{"say", "say takes a word"},
		{"kill \xff", "no UTF-8"},
	}
	for _, c := range cases {
		script.WriteString(c.line + "\n")
		_, err := Parse("x", strings.NewReader(c.line))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "x:1: ") {
			t.Errorf("%q: %v, want %q", c.line, err, c.says)
		}
	}
	_, err := Parse("x", strings.NewReader(script.String()))
	if err == nil || strings.Count(err.Error(), "\n") != len(cases)-1 {
		t.Errorf("all mistakes together: %v", err)
	}
	if _, err := Parse("x", strings.NewReader("# nothing\n")); err == nil {
		t.Error("an empty script is played")
	}
	if _, err := Parse("x", strings.NewReader(strings.Repeat("kill lb01\n", 1<<17))); err == nil {
		t.Error("a script without end is read")
	}
}

func TestAScriptFitsItsSpecification(t *testing.T) {
	spec := specOf(t, pair)
	for text, says := range map[string]string{
		"kill lb09":                    `has no host "lb09"; there are lb01, lb02`,
		"split lb01 lb09":              `has no host "lb09"`,
		"check lb01 nginx fail":        `has no check "nginx"; there are caddy, proxy`,
		"expect active wed lb01":       `has no Virtual Router "wed"; there are web`,
		"expect active web lb09":       `has no host "lb09"`,
		"drift pool/tokyo":             "has no pool/tokyo",
		"expect served hostname/x":     `x:1: expect served hostname/x: the specification has no entry point "hostname/x"; there are virtualRouter/web`,
		"kill lb01\ncheck lb09 a fail": `x:2: check lb09 a fail: the specification has no host "lb09"`,
	} {
		s, err := Parse("x", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fits(spec); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	s, err := Parse("x", strings.NewReader("kill lb01\nexpect active web nobody\npush other\nkill lb09"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fits(spec); err != nil {
		t.Errorf("what comes after a push cannot be known: %v", err)
	}
}

// FuzzParse: what is read is written so that it reads the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"kill lb01", `edit a "b\n" "c # d"`, "say x", "expect active a b", "wait 1s # x", "push \"\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("x", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, step := range s.Steps {
			again, err := Parse("x", strings.NewReader(step.String()))
			if err != nil || len(again.Steps) != 1 || again.Steps[0].String() != step.String() || !slices.Equal(again.Steps[0].Args, step.Args) {
				t.Fatalf("%q is written as %q, which reads as %v, %v", step.Args, step.String(), again, err)
			}
		}
	})
}

// TestAFileThatIsNoDrill has no line of its own for each of its lines.
func TestAFileThatIsNoDrill(t *testing.T) {
	_, err := Parse("README.md", strings.NewReader(strings.Repeat("# a\nnothing\n", 300)))
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.HasSuffix(err.Error(), "\nREADME.md: and 280 more") {
		t.Errorf("%v", err)
	}
}
