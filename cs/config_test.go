package cs_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"opfeed/cs"
	"opfeed/internal/envconf"
)

// jwt is an access token.
var jwt = tokenWith(`{"alg":"none"}`, `{"typ":"Bearer"}`)

func tokenWith(header, claims string) envconf.Secret {
	encode := base64.RawURLEncoding.EncodeToString
	return envconf.Secret(encode([]byte(header)) + "." + encode([]byte(claims)) + ".c2VjcmV0c2lnbmF0dXJl")
}

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*cs.Config){
		"plain http":     func(c *cs.Config) { c.URL = "http://clusters-service.ns.svc.cluster.local:8000" },
		"trailing slash": func(c *cs.Config) { c.URL = "https://api.openshift.com/" },
		"token":          func(c *cs.Config) { c.Auth, c.Token = "token", jwt },
		"client": func(c *cs.Config) {
			c.Auth, c.ClientID, c.ClientSecret, c.TokenURL = "client", "id", "s", "https://sso.test/token"
		},
		"loopback":  func(c *cs.Config) { c.URL, c.Auth, c.Token = "http://127.0.0.1:8000", "token", jwt },
		"localhost": func(c *cs.Config) { c.URL, c.Auth, c.Token = "http://localhost", "token", jwt },
		"token use": func(c *cs.Config) {
			c.Auth, c.Token = "token", tokenWith(`{"alg":"RS256"}`, `{"token_use":"access","typ":"Refresh"}`)
		},
		"no type": func(c *cs.Config) { c.Auth, c.Token = "token", tokenWith(`{"alg":"RS256"}`, `{"exp":1}`) },
		"refresh token": func(c *cs.Config) {
			c.Auth, c.Token, c.TokenURL = "token", tokenWith(`{"alg":"HS256"}`, `{"typ":"Refresh"}`), "https://sso.test/token"
		},
		"no lists":      func(c *cs.Config) { c.ListPolling, c.ListWindow = false, 0 },
		"no breaker":    func(c *cs.Config) { c.Breaker, c.BreakerProbe = 0, 0 },
		"loopback IPv6": func(c *cs.Config) { c.URL, c.Auth, c.Token = "http://[::1]:80", "token", jwt },
	} {
		cfg := cs.DefaultConfig()
		cfg.URL = "https://cs.test"
		change(&cfg)
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	const secret = "hunter2secret"
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage.pem")
	if err := os.WriteFile(garbage, []byte("-----BEGIN CERTIFICATE-----\n"+secret+"\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asToken := func(header, claims string) func(*cs.Config) {
		return func(c *cs.Config) { c.Auth, c.Token = "token", tokenWith(header, claims) }
	}
	const rs = `{"alg":"RS256"}`
	for name, c := range map[string]struct {
		change func(*cs.Config)
		want   []string
	}{
		"three words":        {func(c *cs.Config) { c.Auth, c.Token = "token", "a.b."+secret }, []string{"TOKEN"}},
		"no JSON in it":      {asToken(rs, secret), []string{"TOKEN"}},
		"null in it":         {asToken(rs, "null"), []string{"TOKEN"}},
		"no JSON in front":   {asToken(secret, "{}"), []string{"TOKEN"}},
		"no algorithm":       {asToken("{}", "{}"), []string{"TOKEN"}},
		"an id token":        {asToken(rs, `{"typ":"ID`+secret+`"}`), []string{"TOKEN"}},
		"type of no name":    {asToken(rs, `{"typ":7}`), []string{"TOKEN"}},
		"refresh, no URL":    {asToken(rs, `{"typ":"Refresh"}`), []string{"TOKEN_URL"}},
		"offline, no URL":    {asToken(rs, `{"typ":"Offline"}`), []string{"TOKEN_URL"}},
		"token use, no URL":  {asToken(rs, `{"token_use":"refresh","typ":"Bearer"}`), []string{"TOKEN_URL"}},
		"CA file of garbage": {func(c *cs.Config) { c.CAFile = garbage }, []string{"CA_FILE"}},
		"unused client id":   {func(c *cs.Config) { c.ClientID = secret }, []string{"CLIENT_ID"}},
		"no URL":             {func(c *cs.Config) { c.URL = "" }, []string{"URL"}},
		"bad URL":            {func(c *cs.Config) { c.URL = "http://a b:" + secret }, []string{"URL"}},
		"scheme":             {func(c *cs.Config) { c.URL = "h2c://cs.test" }, []string{"URL"}},
		"path":               {func(c *cs.Config) { c.URL = "https://cs.test/proxy" }, []string{"URL"}},
		"query":              {func(c *cs.Config) { c.URL = "https://cs.test?key=" + secret }, []string{"URL"}},
		"password":           {func(c *cs.Config) { c.URL = "https://u:" + secret + "@cs.test" }, []string{"URL"}},
		"auth":               {func(c *cs.Config) { c.Auth = secret }, []string{"AUTH"}},
		"no token":           {func(c *cs.Config) { c.Auth = "token" }, []string{"TOKEN"}},
		"opaque token":       {func(c *cs.Config) { c.Auth, c.Token = "token", secret }, []string{"TOKEN"}},
		"unused token":       {func(c *cs.Config) { c.Token = secret }, []string{"TOKEN"}},
		"unused secret":      {func(c *cs.Config) { c.ClientSecret = secret }, []string{"CLIENT_SECRET"}},
		"no client":          {func(c *cs.Config) { c.Auth = "client" }, []string{"CLIENT_ID", "CLIENT_SECRET"}},
		"plain http": {func(c *cs.Config) { c.URL, c.Auth, c.Token = "http://cs.test", "token", jwt },
			[]string{"URL"}},
		"looks like loopback": {func(c *cs.Config) { c.URL, c.Auth, c.Token = "http://127.0.0.1.evil.test", "token", jwt },
			[]string{"URL"}},
		"plain http token URL": {func(c *cs.Config) {
			c.Auth, c.ClientID, c.ClientSecret, c.TokenURL = "client", "id", secret, "http://sso.test/token"
		}, []string{"TOKEN_URL"}},
		"no CA file":   {func(c *cs.Config) { c.CAFile = filepath.Join(folder, secret) }, []string{"CA_FILE"}},
		"CA folder":    {func(c *cs.Config) { c.CAFile = folder }, []string{"CA_FILE"}},
		"timeout":      {func(c *cs.Config) { c.Timeout = 0 }, []string{"TIMEOUT"}},
		"concurrency":  {func(c *cs.Config) { c.Concurrency = 0 }, []string{"CONCURRENCY"}},
		"rate":         {func(c *cs.Config) { c.Rate = -1 }, []string{"RATE"}},
		"breaker":      {func(c *cs.Config) { c.Breaker = -1 }, []string{"BREAKER"}},
		"no probe":     {func(c *cs.Config) { c.BreakerProbe = 0 }, []string{"BREAKER_PROBE"}},
		"slow probe":   {func(c *cs.Config) { c.BreakerProbe = time.Hour }, []string{"BREAKER_PROBE"}},
		"no window":    {func(c *cs.Config) { c.ListWindow = 0 }, []string{"LIST_WINDOW"}},
		"wide window":  {func(c *cs.Config) { c.ListWindow = time.Minute }, []string{"LIST_WINDOW"}},
		"all together": {func(c *cs.Config) { *c = cs.Config{Rate: -1} }, []string{"URL", "AUTH", "TIMEOUT", "CONCURRENCY", "RATE"}},
	} {
		cfg := cs.DefaultConfig()
		cfg.URL = "https://cs.test"
		c.change(&cfg)
		err := cfg.Validate()
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: %d problems, want %v: %v", name, len(lines), c.want, err)
		}
		for i, want := range c.want {
			if i < len(lines) && !strings.HasPrefix(lines[i], want+": ") {
				t.Errorf("%s: problem %q does not name %s", name, lines[i], want)
			}
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: secret in %q", name, err)
		}
		if _, err := cs.New(cfg, cs.Deps{}); err == nil {
			t.Errorf("%s: New accepts it", name)
		}
	}
}

// TestEnvironment holds the tags against what reads them.
func TestEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := struct {
		CS cs.Config `envPrefix:"CS_"`
	}{cs.DefaultConfig()}
	err := envconf.Load(&whole, []string{
		"OPFEED_CS_URL=https://cs.test", "OPFEED_CS_AUTH=client", "OPFEED_CS_CLIENT_ID=id",
		"OPFEED_CS_CLIENT_SECRET_FILE=" + file, "OPFEED_CS_TIMEOUT=3s", "OPFEED_CS_CONCURRENCY=7", "OPFEED_CS_RATE=1.5",
		"OPFEED_CS_BREAKER=9", "OPFEED_CS_BREAKER_PROBE=2s",
		"OPFEED_CS_LIST_POLLING=false", "OPFEED_CS_LIST_WINDOW=1s",
	}, "OPFEED_")
	if err != nil {
		t.Fatal(err)
	}
	got := whole.CS
	if got.URL != "https://cs.test" || got.ClientSecret.Reveal() != "s" || got.Timeout.Seconds() != 3 ||
		got.Concurrency != 7 || got.Rate != 1.5 || got.Breaker != 9 || got.BreakerProbe != 2*time.Second || got.ListPolling || got.ListWindow != time.Second ||
		got.UserAgent != "opfeed" {
		t.Errorf("%+v", got)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	for _, v := range envconf.Describe(&whole, "OPFEED_") {
		if v.Help == "" {
			t.Errorf("%s has no help", v.Name)
		}
	}
}

// TestProblemsAsShown: a problem names variables as a user sets them, the other
// one that it is about included.
func TestProblemsAsShown(t *testing.T) {
	whole := struct {
		CS cs.Config `envPrefix:"CS_"`
	}{cs.DefaultConfig()}
	whole.CS.URL, whole.CS.Auth, whole.CS.Timeout = "http://cs.test", "token", 0
	whole.CS.Token, whole.CS.ClientSecret = tokenWith(`{"alg":"none"}`, `{"typ":"Offline"}`), "s"
	const want = `OPFEED_CS_URL: credentials are not sent over plain http, except to this machine: use https or OPFEED_CS_AUTH none
OPFEED_CS_CLIENT_SECRET: set, but OPFEED_CS_AUTH is token
OPFEED_CS_TOKEN_URL: missing, but OPFEED_CS_TOKEN is a refresh or offline token, which would be sent there
OPFEED_CS_TIMEOUT: must be positive`
	if err := envconf.Validate(&whole, "OPFEED_"); err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
}
