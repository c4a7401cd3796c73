package cosmosemu

import (
	"net/http"
	"strings"
)

// RoutingGateway is the server behind the gateway that the service puts before
// most accounts, and Microsoft's emulator on its first port. That gateway
// cannot address every item that can be created: it answers 400 where the id
// holds a tab or a line break, and 401 where it holds a slash, a backslash, a
// number sign or an escape like %20, or ends in a blank.
//
// The Server itself is the compute gateway, which takes them all.
func (s *Server) RoutingGateway() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(r)
		if err := x.locate(); err == nil && x.resource == resourceItem {
			if f := unroutable(x.item); f != nil {
				refusal(f).send(w, x)
				return
			}
		}
		s.ServeHTTP(w, r)
	})
}

// unroutable returns the routing gateway's refusal of an id, if it has one.
func unroutable(id string) *failure {
	switch {
	case strings.ContainsAny(id, "\t\r\n"):
		return refuse(http.StatusBadRequest, "the id %q holds a control character", id)
	case strings.ContainsAny(id, `/\#`), strings.HasSuffix(id, " "), holdsEscape(id):
		return refuse(http.StatusUnauthorized, "the signature does not match: the id %q was decoded on its way", id)
	default:
		return nil
	}
}

// holdsEscape reports whether the text holds % and two hexadecimal digits.
func holdsEscape(text string) bool {
	parts := strings.Split(text, "%")
	for _, after := range parts[1:] {
		if len(after) >= 2 && strings.Trim(after[:2], "0123456789abcdefABCDEF") == "" {
			return true
		}
	}
	return false
}
