package cosmosemu

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// readAccount tells the client where to send its requests: to the address it
// has just used.
func (s *Server) readAccount(x *exchange) (*reply, error) {
	scheme := "http"
	if x.request.TLS != nil || strings.EqualFold(x.header("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	type location struct {
		Name     string `json:"name"`
		Endpoint string `json:"databaseAccountEndpoint"`
	}
	locations := []location{{s.region, scheme + "://" + x.request.Host + "/"}}
	body := encode(map[string]any{
		"id": "emulated", "_self": "", "_rid": "emulated", "_dbs": "//dbs/", "media": "//media/", "addresses": "//addresses/",
		"writableLocations": locations, "readableLocations": locations,
		"enableMultipleWriteLocations": false,
		"userConsistencyPolicy":        map[string]string{"defaultConsistencyLevel": s.level},
	})
	return &reply{status: http.StatusOK, body: body, charge: s.prices().Metadata}, nil
}

// newETag is unique in the account, for ever.
func (s *Server) newETag() string {
	n := s.etags.Add(1)
	return fmt.Sprintf("%08x-0000-0000-0000-%012x", uint32(n), n>>32)
}

// encode writes JSON without escaping <, > and &. What it gets can always be
// encoded.
func encode(v any) []byte {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Sprintf("cosmosemu: encode %T: %v", v, err))
	}
	return []byte(strings.TrimSuffix(text.String(), "\n"))
}

// longestID is the longest name of a database or a container, in bytes.
const longestID = 255

// checkResourceID accepts the name of a database or a container.
func checkResourceID(id string) error {
	if id == "" || len(id) > longestID || strings.ContainsAny(id, `/\?#`) || strings.TrimRight(id, " ") != id {
		return fmt.Errorf(`the id %.300q is invalid: 1 to 255 bytes, without / \ ? # and blanks at the end`, id)
	}
	return nil
}
