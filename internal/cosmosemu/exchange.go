package cosmosemu

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxBody is the service's limit for a request.
const maxBody = 2 << 20

// exchange is one request on its way through the stages of Server.ServeHTTP,
// and what the answer's common headers and the statistics need to know of it.
type exchange struct {
	request  *http.Request
	received time.Time // by the machine's clock
	now      time.Time // by the account's
	target
	kind string // see RequestEntry.Kind
	body []byte
	id   string // see RequestEntry.ID

	effect    Effect // of the faults
	staleSeed uint64
	faults    []string
	charge    float64

	// sessions are the tokens of the partitions that were asked, see visit.
	sessions []string
	lsn      int64
	owner    *container

	admitted []*budget // see admit
}

func (s *Server) newExchange(r *http.Request) *exchange {
	received := time.Now()
	return &exchange{request: r, received: received, now: s.clock.at(received), kind: kindMetadata}
}

func (x *exchange) header(name string) string { return x.request.Header.Get(name) }

// flag reads a header that says True or true.
func (x *exchange) flag(name string) bool { return strings.EqualFold(x.header(name), "true") }

// agent is the application that asks.
func (x *exchange) agent() string {
	agent := x.request.UserAgent()
	if i := strings.IndexAny(agent, " /"); i >= 0 {
		agent = agent[:i]
	}
	return clip(agent, 64)
}

// clip is at most so many bytes of a text that a client chose, for those who
// keep it.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:most], ""))
}

func (x *exchange) readBody() error {
	var body bytes.Buffer
	if length := x.request.ContentLength; length > 0 && length <= maxBody {
		body.Grow(int(length) + bytes.MinRead) // what ReadFrom wants, to see the end
	}
	if _, err := body.ReadFrom(io.LimitReader(x.request.Body, maxBody+1)); err != nil {
		return refuse(http.StatusBadRequest, "read body: %v", err)
	}
	if body.Len() > maxBody {
		return refuse(http.StatusRequestEntityTooLarge, "the request is larger than %d bytes", maxBody)
	}
	x.body = body.Bytes()
	return nil
}

// visit records that a partition was asked when it had come to lsn.
func (x *exchange) visit(p *partition, lsn int64) {
	x.sessions = append(x.sessions, sessionToken(p.id, lsn))
	x.lsn = max(x.lsn, lsn)
}

// maxItems reads the page size; fallback is for a request without one, or with
// -1, which leaves the choice to the server.
func (x *exchange) maxItems() (int, error) {
	const fallback, dynamic = 100, 1000
	text := x.header("x-ms-max-item-count")
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n == 0 || n < -1 {
		return 0, refuse(http.StatusBadRequest, "x-ms-max-item-count %q is not a page size", text)
	}
	if n < 0 || n > dynamic {
		return dynamic, nil
	}
	return n, nil
}

// reply is an answer before it is sent.
type reply struct {
	status    int
	substatus int
	header    [][2]string
	body      []byte
	charge    float64
}

func (r *reply) set(name, value string) {
	r.header = append(r.header, [2]string{name, value})
}

func (r *reply) send(w http.ResponseWriter, x *exchange) {
	h := w.Header()
	h.Set("Date", x.now.UTC().Format(http.TimeFormat))
	h.Set("Content-Type", "application/json")
	h.Set("x-ms-request-charge", strconv.FormatFloat(r.charge, 'f', 2, 64))
	h.Set("x-ms-activity-id", x.activityID())
	if len(x.sessions) > 0 {
		h.Set("x-ms-session-token", strings.Join(x.sessions, ","))
		h.Set("lsn", strconv.FormatInt(x.lsn, 10))
	}
	if x.owner != nil {
		h.Set("x-ms-content-path", x.owner.rid)
		h.Set("x-ms-alt-content-path", x.owner.link())
	}
	for _, pair := range r.header {
		h.Set(pair[0], pair[1])
	}
	w.WriteHeader(r.status)
	if len(r.body) > 0 && r.status != http.StatusNoContent && r.status != http.StatusNotModified {
		w.Write(r.body) //nolint:errcheck,gosec // the client has gone; JSON is what it asked for
	}
}

// activityID repeats the client's id, if it is one, or makes one.
func (x *exchange) activityID() string {
	if id, err := uuid.Parse(x.header("x-ms-activity-id")); err == nil {
		return id.String()
	}
	return uuid.NewString()
}
