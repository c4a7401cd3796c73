package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"opfeed/processor/notification"
)

const redacted = "[redacted]"

// secretTexts are found, in any case, in keys, certificates, kubeconfigs, tokens and
// connection strings: such a text is not shown at all.
var secretTexts = []string{"-----begin", "client-key-data", "client-certificate-data", "certificate-authority-data",
	"current-context", "accountkey=", "sharedaccess", "bearer "}

var (
	webToken = regexp.MustCompile(`\beyJ[\w-]{6,}\.`) // a JWT, which begins with {" in base64
	userInfo = regexp.MustCompile(`(://)[^/\s?#"'@]*@`)
	// The query of a URI may hold a token, as that of a notification does.
	queryOfURI = regexp.MustCompile(`(://[^\s?#"']*)[?#][^\s"']+`)
	queryAlone = regexp.MustCompile(`\?[^\s"'=]*=[^\s"']*`)
)

// withoutSecrets leaves out of a text what may be a secret. Most texts hold nothing
// of the kind, and a list has many: expressions are tried only where they may match.
func withoutSecrets(s string) string {
	lower := strings.ToLower(s)
	if slices.ContainsFunc(secretTexts, func(mark string) bool { return strings.Contains(lower, mark) }) ||
		strings.Contains(s, "eyJ") && webToken.MatchString(s) {
		return redacted
	}
	if strings.Contains(s, "://") {
		s = userInfo.ReplaceAllString(s, "${1}"+redacted+"@")
		s = queryOfURI.ReplaceAllString(s, "${1}?"+redacted)
	}
	if strings.Contains(s, "?") {
		s = queryAlone.ReplaceAllLiteralString(s, "?"+redacted)
	}
	return s
}

// secretNames are parts of the names of members whose values are not shown.
var secretNames = []string{"kubeconfig", "password", "secret", "token", "credential", "privatekey", "private_key", "accountkey",
	"accesskey", "primarykey", "clientkey", "client-key", "apikey", "sshkey", "ssh_key", "signature", "passwd", "pwd", "connectionstring"}

// secretName tells whether a member of that name, in lower case, is not shown.
func secretName(name string) bool {
	return name == "key" || name == "sig" ||
		slices.ContainsFunc(secretNames, func(part string) bool { return strings.Contains(name, part) })
}

// document is a stored document as it may be shown: without secrets.
func document(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, errors.New("document does not decode")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("document does not end with its object")
	}
	return redact("", v), nil
}

func redact(name string, v any) any {
	lower := strings.ToLower(name)
	if lower == "notificationuri" {
		uri, ok := v.(string)
		if !ok {
			return redacted
		}
		return notification.Loggable(uri)
	}
	if v != nil && v != "" && secretName(lower) {
		return redacted
	}
	switch v := v.(type) {
	case map[string]any:
		for member, value := range v {
			v[member] = redact(member, value)
		}
		return v
	case []any:
		for i := range v {
			v[i] = redact(name, v[i])
		}
		return v
	case string:
		return withoutSecrets(v)
	default:
		return v
	}
}
