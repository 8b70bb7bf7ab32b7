package schema

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// Duration is a time.Duration that specs and plans spell as "30s" or "5m".
type Duration time.Duration

// Seconds returns a Duration of n seconds.
func Seconds(n int) Duration { return Duration(n) * Duration(time.Second) }

// Whole returns the duration in seconds, and whether it is a whole number of them.
func (d Duration) Whole() (seconds int, ok bool) {
	return int(time.Duration(d) / time.Second), time.Duration(d)%time.Second == 0
}

func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t == 0:
		return "0s"
	case t%time.Hour == 0:
		return strconv.FormatInt(int64(t/time.Hour), 10) + "h"
	case t%time.Minute == 0:
		return strconv.FormatInt(int64(t/time.Minute), 10) + "m"
	case t%time.Second == 0:
		return strconv.FormatInt(int64(t/time.Second), 10) + "s"
	}
	return t.String()
}

// shape is what the definition #Duration allows.
var shape = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)

// MarshalText prints the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses a number with a unit.
func (d *Duration) UnmarshalText(b []byte) error {
	t, err := time.ParseDuration(string(b))
	if err != nil && shape.Match(b) {
		// Longer than 292 years: for the checks of ranges, which know where
		// it stands, to report.
		t, err = math.MaxInt64/time.Hour*time.Hour, nil
	}
	if err != nil {
		return fmt.Errorf("%q is no duration: want a number with its unit, such as \"30s\"", b)
	}
	*d = Duration(t)
	return nil
}

// TTL is the time to live of a DNS record in seconds; AutoTTL is "auto".
type TTL int

// AutoTTL lets Cloudflare choose. On the wire it is 1.
const AutoTTL TTL = 1

// MarshalText prints "auto" or the duration.
func (t TTL) MarshalText() ([]byte, error) {
	if t == AutoTTL {
		return []byte("auto"), nil
	}
	return Seconds(int(t)).MarshalText()
}

// UnmarshalText parses "auto" or a whole number of seconds.
func (t *TTL) UnmarshalText(b []byte) error {
	if string(b) == "auto" {
		*t = AutoTTL
		return nil
	}
	var d Duration
	if err := d.UnmarshalText(b); err != nil {
		return err
	}
	seconds, whole := d.Whole()
	if !whole {
		return fmt.Errorf("%q is not a whole number of seconds", b)
	}
	*t = TTL(seconds)
	return nil
}
