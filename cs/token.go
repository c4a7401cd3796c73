package cs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
)

var errNoJWT = errors.New("not a JWT")

// refreshes reports whether a token is one that access tokens are had for,
// rather than one to send with calls. It reads tokens as the SDK does, but for
// those that the SDK would take for opaque refresh tokens: these are refused,
// since they are more likely another thing altogether.
func refreshes(token string) (bool, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false, errNoJWT
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	var claims map[string]any
	if !decodePart(parts[0], &header) || header.Algorithm == "" || !decodePart(parts[1], &claims) || claims == nil {
		return false, errNoJWT
	}
	claim, ok := claims["token_use"]
	if !ok {
		if claim, ok = claims["typ"]; !ok {
			return false, nil
		}
	}
	typ, _ := claim.(string)
	switch strings.ToLower(typ) {
	case "access", "bearer":
		return false, nil
	case "refresh", "offline":
		return true, nil
	}
	return false, errors.New("a JWT of a type that is neither access nor refresh nor offline")
}

func decodePart(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}
