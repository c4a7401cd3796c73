package cosmosemu

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A session token says how far a partition had come: "<range>:-1#<lsn>". Tokens
// of several partitions are joined by commas.

func sessionToken(rangeID string, lsn int64) string {
	return rangeID + ":-1#" + strconv.FormatInt(lsn, 10)
}

// wantedLSN returns how far a partition must have come to serve the request. LSNs
// go on through splits and merges, so tokens of its ancestors count.
func (x *exchange) wantedLSN(p *partition) (int64, error) {
	header := x.header("x-ms-session-token")
	if header == "" {
		return 0, nil
	}
	wanted := int64(0)
	for token := range strings.SplitSeq(header, ",") {
		id, lsn, ok := parseSession(strings.TrimSpace(token))
		if !ok {
			return 0, refuse(http.StatusBadRequest, "the session token %q is malformed", header)
		}
		if id == p.id || slices.Contains(p.parents, id) {
			wanted = max(wanted, lsn)
		}
	}
	return wanted, nil
}

// parseSession reads <range>:<version>#<lsn>, and what regions append to it.
func parseSession(token string) (rangeID string, lsn int64, ok bool) {
	rangeID, rest, _ := strings.Cut(token, ":")
	version, rest, found := strings.Cut(rest, "#")
	text, _, _ := strings.Cut(rest, "#")
	_, versionErr := strconv.ParseInt(version, 10, 64)
	lsn, err := strconv.ParseInt(text, 10, 64)
	return rangeID, lsn, found && versionErr == nil && err == nil && rangeID != ""
}

// arrive records the visit of a partition and refuses to serve a session that
// has seen more than it.
func (x *exchange) arrive(p *partition, lsn int64) error {
	x.visit(p, lsn)
	wanted, err := x.wantedLSN(p)
	if err != nil {
		return err
	}
	if wanted > lsn {
		return refuse(http.StatusNotFound, "the read session is not available for the input session token").
			because(substatusSessionNotAvailable)
	}
	return nil
}
