package leases

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longestPage is as long as the address of a page may be, in bytes.
const longestPage = 2048

// CheckPage says why an address is not shown as that of a host's page, or nil. It
// comes from documents that anybody may have written, and people follow it. The
// error does not repeat it.
func CheckPage(address string) error {
	if len(address) > longestPage {
		return errors.New("is longer than 2048 bytes")
	}
	if strings.ContainsFunc(address, func(r rune) bool { return r == ' ' || r == '\\' || r == utf8.RuneError || !strconv.IsPrint(r) }) {
		return errors.New("must have no spaces, no backslashes and no control characters")
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must begin with https:// or http://")
	case u.Hostname() == "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("must hold no user and no password")
	}
	return nil
}

// shownPage is an address as it was stored, or "" where it is not fit to be shown.
func shownPage(stored string) string {
	if stored == "" || CheckPage(stored) != nil {
		return ""
	}
	return stored
}
