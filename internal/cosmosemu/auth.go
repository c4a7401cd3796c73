package cosmosemu

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxSkew is how far a client's clock may be off.
const maxSkew = 15 * time.Minute

// authenticate accepts a signature made with the master key, or an Entra ID
// token in the form that Microsoft's emulator takes: nothing is signed, and the
// third part is the key. Tokens are for data: they cannot change databases and
// containers.
func (s *Server) authenticate(x *exchange) error {
	kind, signature, err := parseAuthorization(x.header("Authorization"))
	if err != nil {
		return err
	}
	switch kind {
	case "master":
		return s.checkSignature(x, signature)
	case "aad":
		if err := s.checkToken(x.received, signature); err != nil {
			return err
		}
		if charged(x.kind) == kindMetadata && x.request.Method != http.MethodGet && !x.isQuery() {
			return refuse(http.StatusForbidden, "the request cannot be authorized by an Entra ID token in the data plane").
				because(substatusTokenNotAuthorized)
		}
		return nil
	default:
		return refuse(http.StatusUnauthorized, "authorization type %q is not supported", kind)
	}
}

// parseAuthorization reads type=…&ver=1.0&sig=…. Both SDKs escape the whole
// value for keys, but not for tokens.
func parseAuthorization(value string) (kind, signature string, err error) {
	if value == "" {
		return "", "", refuse(http.StatusUnauthorized, "required header 'authorization' is missing")
	}
	if strings.Contains(value, "%") {
		if value, err = url.QueryUnescape(value); err != nil {
			return "", "", refuse(http.StatusUnauthorized, "the authorization header is malformed")
		}
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(value, "&") {
		name, text, _ := strings.Cut(field, "=")
		fields[name] = text
	}
	if fields["ver"] != "1.0" || fields["sig"] == "" {
		return "", "", refuse(http.StatusUnauthorized, "the authorization header is malformed")
	}
	return fields["type"], fields["sig"], nil
}

func (s *Server) checkSignature(x *exchange, signature string) error {
	date := x.header("x-ms-date")
	sent, err := http.ParseTime(date)
	if err != nil {
		return refuse(http.StatusUnauthorized, "x-ms-date %q is not an RFC 1123 date", date)
	}
	kind, link := x.link()
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(strings.ToLower(x.request.Method) + "\n" + kind + "\n" + link + "\n" + strings.ToLower(date) + "\n\n"))
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return refuse(http.StatusUnauthorized, "the signature does not match: wrong key, or the wrong string was signed")
	}
	if skew := x.received.Sub(sent); skew > maxSkew || skew < -maxSkew {
		return refuse(http.StatusForbidden, "x-ms-date %q is more than %v away from the server's time", date, maxSkew)
	}
	return nil
}

func (s *Server) checkToken(now time.Time, token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refuse(http.StatusUnauthorized, "the token is not a JWT")
	}
	key := base64.RawURLEncoding.EncodeToString([]byte(s.keyText))
	if subtle.ConstantTimeCompare([]byte(strings.TrimRight(parts[2], "=")), []byte(key)) != 1 {
		return refuse(http.StatusUnauthorized, "the token is not signed by this account")
	}
	var claims struct {
		NotBefore float64 `json:"nbf"`
		Expires   float64 `json:"exp"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return refuse(http.StatusUnauthorized, "the token's claims are malformed")
	}
	if at := float64(now.Unix()); at < claims.NotBefore || at >= claims.Expires {
		return refuse(http.StatusUnauthorized, "the token is not valid now")
	}
	return nil
}
