package envconf

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestSecretShowsItselfToNobody(t *testing.T) {
	const value = "hush-hush"
	s := Secret(value)
	holder := struct {
		A Secret
		B *Secret
		C []Secret
		D map[string]Secret
	}{s, &s, []Secret{s}, map[string]Secret{"d": s}}

	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%U", "%t"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	text, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	zap.New(core).Info("all", zap.Any("secret", s), zap.Any("holder", holder), zap.Stringer("stringer", s))
	shown = append(shown, string(text), fmt.Sprint(logs.All()), s.String(), fmt.Errorf("bad key %v", s).Error())
	for _, text := range shown {
		// %x of the value would be its bytes in hexadecimal.
		for _, bad := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
			if strings.Contains(text, bad) {
				t.Errorf("%q shows the secret", text)
			}
		}
	}
	if fmt.Sprint(s) != "[redacted]" || string(text) == "" || !strings.Contains(string(text), `"A":"[redacted]"`) {
		t.Errorf("have %v and %s", s, text)
	}
	if s.Reveal() != value {
		t.Errorf("revealed %q", s.Reveal())
	}
	if empty := Secret(""); fmt.Sprint(empty) != "" {
		t.Errorf("an empty secret prints %q", fmt.Sprint(empty))
	}
}

// FuzzNoSecretInErrors holds that what an error says does not depend on the
// secret: two secrets in the same place give the same words, whatever else is
// wrong, and wherever the secret was put by mistake.
func FuzzNoSecretInErrors(f *testing.F) {
	f.Add("hush", "other", "many", "X_T_TOKN")
	f.Add("C2y6yDjf5/R+ob0N8A7Cgv30", "%s%d", "10", "X_T_TOKEN_FILE")
	f.Add("1\n2", "\x00", "", "X_T_TIMEOUT")
	f.Add("low", "NaN", "99999999999999999999", "X_LEVEL")
	f.Fuzz(func(t *testing.T, a, b, value, name string) {
		if strings.ContainsAny(name, "=\x00") {
			t.Skip("SKIPPED: no environment can hold a variable of that name")
		}
		right := func(secret string) string {
			return report([]string{"X_T_TOKEN=" + secret, "X_T_TIMEOUT=" + value, name + "=" + value})
		}
		if a != "" && b != "" && name != "X_T_TOKEN" && right(a) != right(b) {
			t.Errorf("in its own variable: %q and %q", right(a), right(b))
		}
		// A long marker cannot occur by chance.
		marker := "marker-of-a-secret-" + a
		for _, wrong := range []string{name, "X_COUNT", "X_LEVEL", "X_T_TIMEOUT", "X_T_TOKEN_FILE", "X_RATIO", "X_ON"} {
			if strings.Contains(wrong, marker) {
				continue
			}
			if text := report([]string{wrong + "=" + marker}); strings.Contains(text, marker) {
				t.Errorf("in %s: %q", wrong, text)
			}
		}
	})
}

func report(environ []string) string {
	c := preset()
	if err := Join(Load(c, environ, "X_"), Validate(c, "X_")); err != nil {
		return err.Error()
	}
	return ""
}

func TestSecretInAFileIsNotInErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("marker-of-a-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := report([]string{"X_T_TOKEN_FILE=" + path, "X_T_TOKEN=marker-of-a-secret", "X_COUNT=a"})
	if !strings.Contains(text, "X_COUNT") || strings.Contains(text, "marker-of-a-secret") {
		t.Errorf("have %q", text)
	}
}
