package cs

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// credentials finds what looks like one: tokens that were fetched are known to
// the SDK only.
var credentials = regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+[\w.~+/=-]+|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?`)

// scrubber takes secrets out of texts that others wrote: a server may repeat a
// header in its error page, and the SDK would repeat that page.
type scrubber struct {
	replacer *strings.Replacer // nil: no configured secrets
}

func newScrubber(cfg Config) scrubber {
	var pairs []string
	for _, secret := range []string{cfg.Token.Reveal(), cfg.ClientSecret.Reveal()} {
		if secret != "" {
			pairs = append(pairs, secret, redacted)
		}
	}
	if secret := cfg.ClientSecret.Reveal(); secret != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(cfg.ClientID + ":" + secret))
		pairs = append(pairs, basic, redacted)
	}
	if len(pairs) == 0 {
		return scrubber{}
	}
	return scrubber{replacer: strings.NewReplacer(pairs...)}
}

func (s scrubber) text(text string) string {
	if s.replacer != nil {
		text = s.replacer.Replace(text)
	}
	return credentials.ReplaceAllString(text, redacted)
}

// err returns err as it is, or, if its text holds a secret, an error that says
// the same without, and still is what err is, but does not lead back to it.
func (s scrubber) err(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := s.text(text); clean != text {
		return &scrubbed{text: clean, is: func(target error) bool { return errors.Is(err, target) }}
	}
	return err
}

type scrubbed struct {
	text string
	is   func(error) bool // not the error itself, which %#v would show
}

func (e *scrubbed) Error() string        { return e.text }
func (e *scrubbed) Is(target error) bool { return e.is(target) }
