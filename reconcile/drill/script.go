package drill

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hactl/hactl/schema"
)

// Script is what a drill plays, in order.
type Script struct {
	Name  string // of its file
	Steps []Step
}

// Step is one line of a script.
type Step struct {
	Line int      `json:"line,omitempty"`
	Verb Verb     `json:"verb"`
	Args []string `json:"args,omitempty"`
}

// Verb says what a step does.
type Verb string

// The verbs, with what they take.
const (
	Say         Verb = "say"         // WORDS: are shown
	Push        Verb = "push"        // PATH: a file or folder that takes the place of the specification's
	Edit        Verb = "edit"        // FILE OLD NEW: in the specification, and push it
	Revert      Verb = "revert"      // the last push
	Mistake     Verb = "mistake"     // push what does not evaluate
	Maintenance Verb = "maintenance" // HOST on|off: push it
	Kill        Verb = "kill"        // HOST: loses its power, right after an advertisement
	Boot        Verb = "boot"        // HOST: has power again, and starts
	Stop        Verb = "stop"        // HOST: its hactl run is told to end
	Start       Verb = "start"       // HOST: hactl run starts
	Unplug      Verb = "unplug"      // HOST [INTERFACE]: right after an advertisement
	Plug        Verb = "plug"        // HOST [INTERFACE]
	Split       Verb = "split"       // HOST...: do not hear each other, and clients hear all
	Heal        Verb = "heal"        // the split
	Check       Verb = "check"       // HOST NAME fail|pass
	Drift       Verb = "drift"       // pool/NAME or dnsRecord/NAME: changed behind the specification's back
	Service     Verb = "service"     // git|api down|up
	Wait        Verb = "wait"        // DURATION
	Expect      Verb = "expect"      // active ROUTER HOST|nobody; silence DURATION; refused; served ENTRY; unserved ENTRY
)

// verbs are how many arguments each takes: at least, at most.
var verbs = map[Verb][2]int{
	Say: {1, 1}, Push: {1, 1}, Edit: {3, 3}, Revert: {}, Mistake: {}, Maintenance: {2, 2},
	Kill: {1, 1}, Boot: {1, 1}, Stop: {1, 1}, Start: {1, 1}, Unplug: {1, 2}, Plug: {1, 2}, Split: {2, 64}, Heal: {},
	Check: {3, 3}, Drift: {1, 1}, Service: {2, 2}, Wait: {1, 1}, Expect: {1, 3},
}

// Disturbs tells whether a step takes something from a host, or gives it back.
func (v Verb) Disturbs() bool {
	switch v {
	case Kill, Boot, Stop, Start, Unplug, Plug, Split, Heal, Check:
		return true
	}
	return false
}

// expectations are how many arguments each takes behind its name.
var expectations = map[string]int{"active": 2, "silence": 1, "refused": 0, "served": 1, "unserved": 1}

// Limits of a script.
const (
	largestScript = 1 << 20
	longestWait   = 10 * time.Minute
)

// String is the step as a script has it.
func (s Step) String() string {
	parts := []string{string(s.Verb)}
	for _, a := range s.Args {
		if s.Verb != Say && (a == "" || strings.ContainsFunc(a, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '#' || !unicode.IsPrint(r) })) {
			a = strconv.Quote(a)
		}
		parts = append(parts, a)
	}
	return strings.Join(parts, " ")
}

// Fits says what a specification has not that the script names: a host, a
// Virtual Router, a check. What comes after a push is not looked at.
func (s *Script) Fits(spec *schema.Spec) error {
	var errs []error
	for _, step := range s.Steps {
		if step.Verb == Push || step.Verb == Edit {
			break
		}
		if err := step.fits(spec); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", s.Name, step.Line, err))
		}
	}
	return errors.Join(errs...)
}

// Parse reads a script: a step on each line, with words between blanks, or in
// double quotes as Go has them; what follows # is a comment. say takes the rest
// of its line as it is. The error has every mistake, each with its line.
func Parse(name string, r io.Reader) (*Script, error) {
	b, err := io.ReadAll(io.LimitReader(r, largestScript+1))
	if err != nil {
		return nil, err
	}
	if len(b) > largestScript {
		return nil, fmt.Errorf("%s: a script of more than %d MiB", name, largestScript>>20)
	}
	script := &Script{Name: name}
	var mistakes []string
	line := 0
	for text := range strings.Lines(strings.TrimPrefix(string(b), "\ufeff")) {
		line++
		step, err := parseLine(strings.TrimRight(text, "\r\n"))
		if err != nil {
			mistakes = append(mistakes, fmt.Sprintf("%s:%d: %v", name, line, err))
		} else if step.Verb != "" {
			step.Line = line
			script.Steps = append(script.Steps, step)
		}
	}
	const most = 20 // of a file that is no drill
	if n := len(mistakes); n > most {
		mistakes = append(mistakes[:most], fmt.Sprintf("%s: and %d more", name, n-most))
	}
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(mistakes, "\n"))
	}
	if len(script.Steps) == 0 {
		return nil, fmt.Errorf("%s: there is nothing to play", name)
	}
	return script, nil
}

func parseLine(text string) (Step, error) {
	if !utf8.ValidString(text) {
		return Step{}, fmt.Errorf("this is no UTF-8")
	}
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, string(Say)+" "); ok && strings.TrimSpace(rest) != "" {
		return Step{Verb: Say, Args: []string{strings.TrimSpace(rest)}}, nil
	}
	words, err := split(text)
	if err != nil || len(words) == 0 {
		return Step{}, err
	}
	s := Step{Verb: Verb(words[0]), Args: words[1:]}
	return s, s.check()
}

// split is the words of a line.
func split(text string) (words []string, err error) {
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if text == "" || text[0] == '#' {
			return words, nil
		}
		if text[0] == '"' {
			quoted, err := strconv.QuotedPrefix(text)
			if err != nil {
				return nil, fmt.Errorf("a quote that does not end, or an escape that Go does not know: %s", text)
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			words, text = append(words, word), text[len(quoted):]
			continue
		}
		end := strings.IndexFunc(text, unicode.IsSpace)
		if end < 0 {
			end = len(text)
		}
		words, text = append(words, text[:end]), text[end:]
	}
}

// check says what is wrong with a step by itself.
func (s Step) check() error {
	count, known := verbs[s.Verb]
	n := len(s.Args)
	switch {
	case !known:
		return fmt.Errorf("there is no step %q; there are %s", s.Verb, strings.Join(verbNames(), ", "))
	case n < count[0] || n > count[1]:
		switch {
		case count[1] == 0:
			return fmt.Errorf("%s stands alone, without %q", s.Verb, s.Args[0])
		case count[0] == 1 && count[1] == 1:
			return fmt.Errorf("%s takes a word, and has %d", s.Verb, n)
		case count[0] == count[1]:
			return fmt.Errorf("%s takes %d words, and has %d", s.Verb, count[0], n)
		}
		return fmt.Errorf("%s takes %d to %d words, and has %d", s.Verb, count[0], count[1], n)
	}
	either := func(i int, options ...string) error {
		if !slices.Contains(options, s.Args[i]) {
			return fmt.Errorf("%s: %q: want %s", s.Verb, s.Args[i], strings.Join(options, " or "))
		}
		return nil
	}
	switch s.Verb {
	case Maintenance:
		return either(1, "on", "off")
	case Check:
		return either(2, "fail", "pass")
	case Service:
		if err := either(0, "git", "api"); err != nil {
			return err
		}
		return either(1, "down", "up")
	case Drift:
		kind, name, _ := strings.Cut(s.Args[0], "/")
		if name == "" || kind != "pool" && kind != "dnsRecord" {
			return fmt.Errorf("drift: %q: want pool/NAME or dnsRecord/NAME", s.Args[0])
		}
	case Split:
		for i, host := range s.Args {
			if slices.Contains(s.Args[:i], host) {
				return fmt.Errorf("split: %s is there twice", host)
			}
		}
	case Wait:
		_, err := length(s.Args[0])
		return err
	case Expect:
		count, known := expectations[s.Args[0]]
		if !known || count != n-1 {
			return fmt.Errorf("expect: want active ROUTER HOST|nobody, silence DURATION, refused, served ENTRY or unserved ENTRY")
		}
		if s.Args[0] == "silence" {
			_, err := length(s.Args[1])
			return err
		}
	}
	return nil
}

func verbNames() (names []string) {
	for v := range verbs {
		names = append(names, string(v))
	}
	slices.Sort(names)
	return names
}

// length is a duration of at most longestWait.
func length(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longestWait {
		return 0, fmt.Errorf("%q: want a duration such as 300ms or 5s, of at most %s", text, longestWait)
	}
	return d, nil
}
