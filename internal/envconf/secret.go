package envconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const redacted = "[redacted]"

// Secret is a configuration value that shows itself to nobody who does not ask
// by name: formatting, JSON, text and logs give "[redacted]", or nothing when it
// is empty. Reveal gives the value.
type Secret string

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "[redacted]", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, so that %#v of a struct does not leak.
func (s Secret) GoString() string { return s.String() }

// Format writes the redacted form for every verb and flag: %x of a string would
// otherwise be its bytes.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String())
}

// MarshalText gives the redacted form; MarshalJSON follows from it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON gives the redacted form as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// maxSecret bounds what is read from a file, lest somebody names a device.
const maxSecret = 64 << 10

// readSecret reads a secret from a file. Its errors do not repeat the path: the
// secret itself may have been put there by mistake.
func readSecret(path string) (string, error) {
	content, err := readFile(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the file it names: %w", cause(err))
	case len(content) > maxSecret:
		return "", errors.New("names a file over 64 KiB, which is no secret")
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if secret == "" {
		return "", errors.New("names an empty file")
	}
	return secret, nil
}

func readFile(path string) (content []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}

// cause is the system's reason without the path.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
