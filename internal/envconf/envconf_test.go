package envconf

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type level int

func (l *level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "low":
		*l = 1
	case "high":
		*l = 2
	default:
		return errors.New("is neither low nor high")
	}
	return nil
}

func (l level) MarshalText() ([]byte, error) { return []byte([]string{"", "low", "high"}[l]), nil }

type inner struct {
	URL     string        `env:"URL,required" help:"where"`
	Token   Secret        `env:"TOKEN" help:"who"`
	Timeout time.Duration `env:"TIMEOUT" help:"how long"`
	Agent   string        `env:"-"`
}

func (c *inner) Validate() error {
	var list []error
	if c.Timeout <= 0 {
		list = append(list, errors.New("TIMEOUT: must be positive"))
	}
	if c.URL == "" {
		list = append(list, errors.New("URL: is missing"))
	}
	if c.Agent == "refers" {
		list = append(list, errors.New("URL: no URL beside $TOKEN, $TIMEOUTS, $5 and $TIMEOUT"))
	}
	if c.Agent == "twin" {
		list = append(list, errors.New("the two do not agree"))
	}
	return errors.Join(list...)
}

type outer struct {
	Name    string   `env:"NAME" help:"what"`
	Count   int      `env:"COUNT"`
	Small   int32    `env:"SMALL"`
	Ratio   float64  `env:"RATIO"`
	On      bool     `env:"ON"`
	Words   []string `env:"WORDS"`
	Level   level    `env:"LEVEL" type:"low or high"`
	Started string   `env:"STARTED" default:"now"`
	T       inner    `envPrefix:"T_"`
	plain   string   //nolint:unused // must not disturb
}

func preset() *outer {
	return &outer{
		Name: "opfeed", Count: 8, Ratio: 0.5, Words: []string{"a", "b"}, Level: 1,
		T: inner{Timeout: 90 * time.Second},
	}
}

func TestLoadOverridesOnlyWhatIsSet(t *testing.T) {
	c := preset()
	err := Load(c, []string{
		"X_COUNT=1", "X_COUNT=2", "X_RATIO=1.5", "X_ON=true", "X_WORDS=c,d", "X_LEVEL=high", "X_T_URL=http://a",
		"X_T_TOKEN=hush", "X_T_TIMEOUT=250ms", "X_NAME=", "PATH=/bin", "Y_COUNT=9",
	}, "X_")
	if err != nil {
		t.Fatal(err)
	}
	want := preset()
	want.Count, want.Ratio, want.On, want.Words, want.Level = 2, 1.5, true, []string{"c", "d"}, 2
	want.T = inner{URL: "http://a", Token: "hush", Timeout: 250 * time.Millisecond}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("have %#v\nwant %#v", c, want)
	}
}

func TestLoadReportsEveryProblemByVariable(t *testing.T) {
	err := Load(preset(), []string{
		"X_COUNT=many", "X_SMALL=99999999999", "X_RATIO=NaN", "X_ON=perhaps", "X_LEVEL=middle", "X_T_TIMEOUT=10",
		"X_T_TOKN=hush", "X_PORT=tcp://10.0.0.1:80", "X_PORT_80_TCP_ADDR=10.0.0.1", "X_SERVICE_HOST=10.0.0.1",
		"X_SERVICE_PORT_HTTP=80", "X_PORTS=1", "x_count=many",
	}, "X_")
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatalf("have %v", err)
	}
	want := []string{
		"X_COUNT: is not a whole number",
		"X_SMALL: is out of range",
		"X_RATIO: must be a finite number",
		"X_ON: is neither true nor false",
		"X_LEVEL: is neither low nor high",
		"X_T_URL: is required",
		"X_T_TIMEOUT: is not a duration: want a number with its unit, such as 250ms, 10s or 1m30s",
		"X_PORTS: is not a known variable",
		"X_T_TOKN: is not a known variable",
	}
	if !slices.Equal(p.List, want) {
		t.Errorf("have\n%s\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

func TestSecretFromFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		environ []string
		want    string
		problem string
	}{
		"newline cut":     {environ: []string{"X_T_TOKEN_FILE=" + write("a", "hush\n")}, want: "hush"},
		"only one":        {environ: []string{"X_T_TOKEN_FILE=" + write("b", "hush\n\n")}, want: "hush\n"},
		"carriage return": {environ: []string{"X_T_TOKEN_FILE=" + write("c", "hush\r\n")}, want: "hush"},
		"both":            {environ: []string{"X_T_TOKEN=a", "X_T_TOKEN_FILE=" + write("d", "b")}, problem: "X_T_TOKEN_FILE: is set beside X_T_TOKEN: only one of them may be"},
		"absent":          {environ: []string{"X_T_TOKEN_FILE=" + filepath.Join(dir, "hush")}, problem: "X_T_TOKEN_FILE: cannot read the file it names: no such file or directory"},
		"directory":       {environ: []string{"X_T_TOKEN_FILE=" + dir}, problem: "X_T_TOKEN_FILE: cannot read the file it names: is a directory"},
		"empty":           {environ: []string{"X_T_TOKEN_FILE=" + write("e", "\n")}, problem: "X_T_TOKEN_FILE: names an empty file"},
		"endless":         {environ: []string{"X_T_TOKEN_FILE=/dev/zero"}, problem: "X_T_TOKEN_FILE: names a file over 64 KiB, which is no secret"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := preset()
			err := Load(cfg, append(c.environ, "X_T_URL=u"), "X_")
			if text := lines(err); strings.Join(text, "\n") != c.problem {
				t.Errorf("have problems %q, want %q", text, c.problem)
			}
			if cfg.T.Token.Reveal() != c.want {
				t.Errorf("have %q, want %q", cfg.T.Token.Reveal(), c.want)
			}
		})
	}
}

func TestValidateNamesVariables(t *testing.T) {
	c := preset()
	c.T = inner{Agent: "twin"}
	err := Validate(c, "X_")
	want := "X_T_TIMEOUT: must be positive\nX_T_URL: is missing\nX_T: the two do not agree"
	if err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
	c.T = inner{URL: "u", Timeout: 1, Agent: "refers"}
	want = "X_T_URL: no URL beside X_T_TOKEN, $TIMEOUTS, $5 and X_T_TIMEOUT"
	if err := Validate(c, "X_"); err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
	c.T = inner{URL: "u", Timeout: 1}
	if err := Validate(c, "X_"); err != nil {
		t.Error(err)
	}
}

func TestJoinKeepsTheFirstErrorOfAVariable(t *testing.T) {
	a := &Problems{List: []string{"A: one", "A: two"}}
	b := &Problems{List: []string{"A: three", "B: four"}}
	if err := Join(nil, a, nil, b, errors.New("five")); err == nil || err.Error() != "A: one\nA: two\nB: four\nfive" {
		t.Errorf("have %v", err)
	}
	if err := Join(nil, nil); err != nil {
		t.Errorf("have %v", err)
	}
}

func TestDescribe(t *testing.T) {
	c := preset()
	c.T.Token = "hush"
	want := []Variable{
		{Name: "X_NAME", Type: "string", Default: "opfeed", Help: "what"},
		{Name: "X_COUNT", Type: "int", Default: "8"},
		{Name: "X_SMALL", Type: "int", Default: "0"},
		{Name: "X_RATIO", Type: "float", Default: "0.5"},
		{Name: "X_ON", Type: "bool", Default: "false"},
		{Name: "X_WORDS", Type: "list", Default: "a,b"},
		{Name: "X_LEVEL", Type: "low or high", Default: "low"},
		{Name: "X_STARTED", Type: "string", Default: "now"},
		{Name: "X_T_URL", Type: "string", Help: "where"},
		{Name: "X_T_TOKEN", Type: "secret", Help: "who", Secret: true},
		{Name: "X_T_TOKEN_FILE", Type: "path", Help: "file that holds X_T_TOKEN; one trailing newline is cut; set only one of the two"},
		{Name: "X_T_TIMEOUT", Type: "duration", Default: "1m30s", Help: "how long"},
	}
	have := Describe(c, "X_")
	for i := range max(len(have), len(want)) {
		if i >= len(have) || i >= len(want) || have[i] != want[i] {
			t.Fatalf("row %d: have %+v\nwant %+v", i, have, want)
		}
	}
}

func TestShortDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 250 * time.Millisecond: "250ms", 10 * time.Second: "10s", 10 * time.Minute: "10m",
		90 * time.Second: "1m30s", 12 * time.Hour: "12h", 10*time.Hour + time.Second: "10h0m1s", 100 * time.Minute: "1h40m",
	} {
		if have := short(d); have != want {
			t.Errorf("%d: have %s, want %s", d, have, want)
		}
	}
}

func TestTwoFieldsWithOneNamePanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Describe(&struct {
		A string `env:"B"`
		C struct {
			D string `env:"B"`
		}
	}{}, "")
}

func TestRename(t *testing.T) {
	type renamed struct {
		T inner `envPrefix:"T_" envRename:"TIMEOUT=LIMIT,TOKEN=PASS"`
	}
	var c renamed
	if err := Load(&c, []string{"X_T_LIMIT=1s", "X_T_URL=u", "X_T_PASS=hush"}, "X_"); err != nil || c.T.Timeout != time.Second || c.T.Token != "hush" {
		t.Errorf("have %+v, %v", c, err)
	}
	err := Load(&c, []string{"X_T_TIMEOUT=1s", "X_T_LIMIT=1", "X_T_URL=u", "X_T_PASS_FILE=/absent"}, "X_")
	want := "X_T_PASS_FILE: cannot read the file it names: no such file or directory\n" +
		"X_T_LIMIT: is not a duration: want a number with its unit, such as 250ms, 10s or 1m30s\n" +
		"X_T_TIMEOUT: is not a known variable"
	if err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
	c.T.Timeout = 0
	c.T.Agent = "refers"
	if err := Validate(&c, "X_"); err == nil ||
		err.Error() != "X_T_LIMIT: must be positive\nX_T_URL: no URL beside X_T_PASS, $TIMEOUTS, $5 and X_T_LIMIT" {
		t.Errorf("have %v", err)
	}
	if name := Describe(&c, "X_")[3].Name; name != "X_T_LIMIT" {
		t.Errorf("described as %s", name)
	}
}

func TestRenameOfNothingPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Describe(&struct {
		T inner `envRename:"NONE=SOME"`
	}{}, "")
}
